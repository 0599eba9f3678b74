//! Prometheus text from numbers that somebody else owns: one registry for each scrape, filled and encoded.

use std::collections::{BTreeMap, HashMap};

use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{CounterVec, Encoder, GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

/// A scrape being put together. Families appear when first used; all samples of one must name the same labels.
#[derive(Default)]
pub struct Scrape {
    registry: Registry,
    counters: HashMap<&'static str, IntCounterVec>,
    seconds: HashMap<&'static str, CounterVec>,
    gauges: HashMap<&'static str, GaugeVec>,
    histograms: BTreeMap<&'static str, MetricFamily>,
    problem: Option<prometheus::Error>,
}

impl Scrape {
    /// A cumulative count.
    pub fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: u64) {
        if let Err(e) = self.try_counter(name, help, labels, value) {
            self.problem.get_or_insert(e);
        }
    }

    /// A cumulative time, of nanoseconds; Prometheus wants seconds.
    pub fn seconds(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], nanoseconds: u64) {
        if let Err(e) = self.try_seconds(name, help, labels, nanoseconds) {
            self.problem.get_or_insert(e);
        }
    }

    /// A current value.
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        if let Err(e) = self.try_gauge(name, help, labels, value) {
            self.problem.get_or_insert(e);
        }
    }

    /// A histogram that was counted elsewhere: cumulative counts by upper bound, how many values in all, and their sum.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        buckets: &[(u64, u64)],
        count: u64,
        sum: u64,
    ) {
        let family = self.histograms.entry(name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.into());
            family.set_help(help.into());
            family.set_field_type(MetricType::HISTOGRAM);
            family
        });
        let bucket = |(bound, n): &(u64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64);
            bucket.set_cumulative_count(*n);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.iter().map(bucket).collect());
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum as f64);
        let label = |(name, value): &(&str, &str)| {
            let mut label = LabelPair::default();
            label.set_name((*name).into());
            label.set_value((*value).into());
            label
        };
        let mut metric = Metric::from_label(labels.iter().map(label).collect());
        metric.set_histogram(histogram);
        family.mut_metric().push(metric);
    }

    fn try_counter(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        value: u64,
    ) -> prometheus::Result<()> {
        let (names, values) = split(labels);
        if !self.counters.contains_key(name) {
            let family = IntCounterVec::new(Opts::new(name, help), &names)?;
            self.registry.register(Box::new(family.clone()))?;
            self.counters.insert(name, family);
        }
        if let Some(family) = self.counters.get(name) {
            family.get_metric_with_label_values(&values)?.inc_by(value);
        }
        Ok(())
    }

    fn try_seconds(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        nanoseconds: u64,
    ) -> prometheus::Result<()> {
        let (names, values) = split(labels);
        if !self.seconds.contains_key(name) {
            let family = CounterVec::new(Opts::new(name, help), &names)?;
            self.registry.register(Box::new(family.clone()))?;
            self.seconds.insert(name, family);
        }
        if let Some(family) = self.seconds.get(name) {
            family.get_metric_with_label_values(&values)?.inc_by(nanoseconds as f64 / 1e9);
        }
        Ok(())
    }

    fn try_gauge(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> prometheus::Result<()> {
        let (names, values) = split(labels);
        if !self.gauges.contains_key(name) {
            let family = GaugeVec::new(Opts::new(name, help), &names)?;
            self.registry.register(Box::new(family.clone()))?;
            self.gauges.insert(name, family);
        }
        if let Some(family) = self.gauges.get(name) {
            family.get_metric_with_label_values(&values)?.set(value);
        }
        Ok(())
    }

    /// The text of all that was added.
    ///
    /// # Errors
    /// A family was used with different labels, or its name is not one.
    pub fn text(self) -> Result<String, String> {
        if let Some(e) = self.problem {
            return Err(format!("metrics: {e}"));
        }
        let mut out = Vec::new();
        let mut families = self.registry.gather();
        families.extend(self.histograms.into_values());
        TextEncoder::new().encode(&families, &mut out).map_err(|e| format!("metrics: {e}"))?;
        String::from_utf8(out).map_err(|e| format!("metrics: {e}"))
    }
}

fn split<'a>(labels: &[(&'a str, &'a str)]) -> (Vec<&'a str>, Vec<&'a str>) {
    labels.iter().copied().unzip()
}

#[cfg(test)]
mod tests {
    use super::Scrape;

    #[test]
    fn text_has_families_and_labels() {
        let mut s = Scrape::default();
        s.counter("ironbridge_port_rx_packets_total", "Packets received.", &[("port", "a\"b")], 7);
        s.counter("ironbridge_port_rx_packets_total", "Packets received.", &[("port", "c")], 8);
        s.gauge("ironbridge_up", "1.", &[], 1.0);
        s.seconds("ironbridge_worker_seconds_total", "Time.", &[], 1_500_000_000);
        let text = s.text().unwrap();
        assert!(text.contains("# TYPE ironbridge_port_rx_packets_total counter"));
        assert!(text.contains("ironbridge_port_rx_packets_total{port=\"a\\\"b\"} 7"));
        assert!(text.contains("ironbridge_up 1"));
        assert!(text.contains("# TYPE ironbridge_worker_seconds_total counter"));
        assert!(text.contains("ironbridge_worker_seconds_total 1.5"));
    }

    #[test]
    fn different_labels_are_an_error() {
        let mut s = Scrape::default();
        s.counter("a_total", "A.", &[("x", "1")], 1);
        s.counter("a_total", "A.", &[], 1);
        assert!(s.text().is_err());
    }
}
