"""Results as JSON, as a Markdown table and as an SVG chart in docs/performance.md."""
import json
import platform
import re
import statistics


def summary(rounds, hertz):
    """Best and median Mpps and cycles of each switch; own cycles are total less io of the same round."""
    out = {}
    for name in dict.fromkeys(n for r in rounds for n in r):
        rates = [r[name] for r in rounds if r.get(name)]
        if not rates:
            continue
        best = max(rates)
        out[name] = {"best_mpps": best / 1e6, "median_mpps": statistics.median(rates) / 1e6, "cycles": hertz / best,
                     "spread": min(rates) / best, "rounds_mpps": [r / 1e6 for r in rates]}
        own = [hertz / r[name] - hertz / r["testpmd io"] for r in rounds if r.get(name) and r.get("testpmd io")]
        if own and name != "testpmd io":
            out[name]["own_cycles"] = min(own)
            out[name]["own_cycles_median"] = statistics.median(own)
    return out


# the same process a moment before, for what is compared with itself
ITSELF = "Ironbridge, undisturbed"


def ratio(result):
    """Best of rounds against the peer's, or against itself undisturbed."""
    ours, other = result.get("Ironbridge"), result.get("OVS-DPDK") or result.get(ITSELF)
    return ours["best_mpps"] / other["best_mpps"] if ours and other else None


def share_of_ceiling(result):
    """Best of rounds against what testpmd does in the switch's place."""
    ours, io = result.get("Ironbridge"), result.get("testpmd io")
    return ours["best_mpps"] / io["best_mpps"] if ours and io else None


def each_ratio(result):
    """The ratio of each run for itself."""
    runs = result.get("runs") or [ratio(result)]
    return " / ".join(f"{x:.2f}" if x else "-" for x in runs) + "x" if any(runs) else "-"


def merged(runs, hertz):
    """Results of all cases from the rounds of several runs: [[(case, rounds)]], with each run's ratio."""
    out = []
    for of_case in zip(*runs):
        every = [r for _, rounds in of_case for r in rounds if r]
        result = summary(every or [{}], hertz)
        result["runs"] = [ratio(summary(rounds, hertz)) if rounds else None for _, rounds in of_case]
        out.append((of_case[0][0], result))
    return out


def paced(case):
    return getattr(case, "generator", None) == "pcap"


def table(results):
    rows = ["| | case | io | OVS-DPDK | Ironbridge | ratio | floor | own cycles (OVS) | own cycles (Ironbridge) |",
            "|---|---|---|---|---|---|---|---|---|"]
    for case, result in results:
        def mpps(name):
            r = result.get(name)
            return f"{r['best_mpps']:.1f} ({r['median_mpps']:.1f})" if r else "-"

        def own(name):
            r = result.get(name, {})
            # a generator on the other core sets the pace of io: nothing to take off
            return f"{r['own_cycles']:.0f}" if "own_cycles" in r and paced(case) else "-"

        floor = f"{case.floor:.1f}x" if case.floor else "-"
        if getattr(case, "of_ceiling", None):
            floor += f" or {case.of_ceiling:.0%} of io"
        rows.append(f"| {case.key} | {case.title} | {mpps('testpmd io')} | {mpps('OVS-DPDK')} | {mpps('Ironbridge')} | "
                    f"{each_ratio(result)} | {floor} | {own('OVS-DPDK')} | {own('Ironbridge')} |")
    return "\n".join(rows)


def shares(results):
    """The cases of one sender beside another; the median counts, for a storm is no better at its best."""
    rows = ["| | case | OVS-DPDK | Ironbridge | floor |", "|---|---|---|---|---|"]
    for case, found in results:
        def share(name):
            r = found.get(name)
            return f"{statistics.median(r):.1%} ({min(r):.1%} to {max(r):.1%})" if r else "-"
        rows.append(f"| {case.key} | {case.title} | {share('OVS-DPDK')} | {share('Ironbridge')} | {case.floor:.0%} |")
    return "\n".join(rows) if results else ""


def chart(results):
    """Horizontal bars, two for each case, drawn with plain SVG; readable on light and dark pages."""
    width, row, left = 900, 44, 330
    height = row * len(results) + 50
    top = max((r[n]["best_mpps"] for _, r in results for n in ("OVS-DPDK", "Ironbridge") if n in r), default=1)
    scale = (width - left - 80) / top
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           '<text x="10" y="22" font-size="15" font-weight="bold">Mpps on one core, best of rounds</text>',
           f'<rect x="{left}" y="10" width="12" height="12" fill="#9aa5b1"/><text x="{left + 18}" y="21">OVS-DPDK</text>',
           f'<rect x="{left + 110}" y="10" width="12" height="12" fill="#1f6feb"/><text x="{left + 128}" y="21">Ironbridge</text>']
    for i, (case, result) in enumerate(results):
        y = 40 + i * row
        out.append(f'<text x="10" y="{y + 20}">{case.title}</text>')
        for j, (name, colour) in enumerate((("OVS-DPDK", "#9aa5b1"), ("Ironbridge", "#1f6feb"))):
            if name not in result:
                continue
            value = result[name]["best_mpps"]
            at = y + j * 17
            out.append(f'<rect x="{left}" y="{at}" width="{value * scale:.1f}" height="14" fill="{colour}"/>')
            out.append(f'<text x="{left + value * scale + 6:.1f}" y="{at + 12}">{value:.1f}</text>')
    return "\n".join(out) + "\n</svg>\n"


def cpu():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"model name\s*:\s*(.*)", f.read())
    return found[1] if found else platform.machine()


def database_table(results):
    """The database's cases: the best of the rounds, the server's own time in brackets."""
    rows = ["| | case | Open vSwitch | Ironbridge | ratio | floor |", "|---|---|---|---|---|---|"]
    for r in results:
        def figure(name):
            value, cost = r["best"].get(name), r["microseconds"].get(name)
            if value is None:
                return "-"
            text = f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
            return f"{text} {r['unit']}" + (f" ({cost:.1f} µs)" if cost is not None else "")

        ratio = f"{r['ratio']:.2f}x" if r["ratio"] else "-"
        floor = f"{r['floor']:.1f}x" if r["floor"] else "-"
        rows.append(f"| {r['key']} | {r['title']} | {figure('Open vSwitch')} | {figure('Ironbridge')} | {ratio} | {floor} |")
    return "\n".join(rows)


DATABASE = ("<!-- database -->", "<!-- /database -->")


def database_part(data):
    """The database's part of the page, between marks."""
    if not data:
        return ""
    return f"""{DATABASE[0]}

## The database

Made by `scripts/bench ovsdb`: `ovsdb-server` of Debian 12 (Open vSwitch 3.1.0) and ours in turn, each with a file of its own on
the same disk and schema `Open_vSwitch`; the best of {data["rounds"]} rounds, in brackets the server's own processor time for each
transaction. Requests are precomputed and sent ahead of the replies, but in the durable cases, where each client waits for
each. A ratio above one is better, of times and memory too.

{database_table(data["cases"])}

{DATABASE[1]}
"""


OPENFLOW = ("<!-- openflow -->", "<!-- /openflow -->")


def openflow_part(data):
    """OpenFlow's part of the page, between marks."""
    if not data:
        return ""
    return f"""{OPENFLOW[0]}

## OpenFlow

Made by `scripts/bench openflow`: `ovs-vswitchd` of Debian 12 (Open vSwitch 3.1.0) and ours in turn, OpenFlow 1.3, without
devices and workers; the best of {data["rounds"]} rounds, in brackets the switch's own processor time for each rule. The raw client
sends precomputed flow-mods and one barrier behind them; `ovs-ofctl` is each one's own but where it is said to be the stock one,
which waits for each flow without `--bundle`. A ratio above one is better, of memory too.

{database_table(data["cases"])}

{OPENFLOW[1]}
"""


def write_part(top, key, marks, part, results, rounds):
    """Replaces a part of the page and its figures; it comes last when there was none."""
    file = top / "docs" / "performance.json"
    data = json.loads(file.read_text()) if file.exists() else {}
    data[key] = {"cpu": cpu(), "rounds": rounds, "cases": results}
    file.write_text(json.dumps(data, indent=1) + "\n")
    page = top / "docs" / "performance.md"
    before, _, rest = page.read_text().partition(marks[0])
    after = rest.partition(marks[1])[2]
    page.write_text((before.rstrip() + "\n\n" + part(data[key]) + "\n" + after.lstrip("\n")).rstrip() + "\n")


def write_database(top, results, rounds):
    write_part(top, "database", DATABASE, database_part, results, rounds)


def write_openflow(top, results, rounds):
    write_part(top, "openflow", OPENFLOW, openflow_part, results, rounds)


GUESTS = ("<!-- guests -->", "<!-- /guests -->")


def write_guests(top, results, fair, runs, rounds, seconds):
    """The part of virtual machines and of fairness, measured by itself: replaces itself, or comes before the database's."""
    part = f"""{GUESTS[0]}

## Guests, and what one sender does to another

Made by `scripts/bench {" ".join([c.key for c, _ in results] + [c.key for c, _ in fair])} --runs {runs} --rounds {rounds} --seconds {seconds:g}`, as the table above;
io of (i) is testpmd in the switch's place. The ratio is that of the best rounds, for each run.

{table(results)}

What one sender does to another, medians of all rounds (least and most):

{shares(fair)}

{GUESTS[1]}
"""
    file = top / "docs" / "performance.json"
    data = json.loads(file.read_text()) if file.exists() else {}
    data["guests"] = {"cpu": cpu(), "runs": runs, "rounds": rounds, "seconds": seconds,
                      "cases": {c.key: {"title": c.title, "floor": c.floor, "ratio": ratio(r), **r} for c, r in results},
                      "fairness": {c.key: {"title": c.title, "floor": c.floor, **found} for c, found in fair}}
    file.write_text(json.dumps(data, indent=1) + "\n")
    page = top / "docs" / "performance.md"
    text = page.read_text()
    if GUESTS[0] in text:
        before, _, rest = text.partition(GUESTS[0])
        after = rest.partition(GUESTS[1])[2]
    else:
        before, mark, rest = text.partition(DATABASE[0])
        after = mark + rest
    page.write_text(before.rstrip() + "\n\n" + part + "\n" + after.lstrip("\n"))


def write(top, results, fair, runs, rounds, seconds, hertz):
    file = top / "docs" / "performance.json"
    # the database and OpenFlow are measured by themselves
    before = json.loads(file.read_text()) if file.exists() else {}
    database, openflow = before.get("database"), before.get("openflow")
    data = {"cpu": cpu(), "hertz": hertz, "runs": runs, "rounds": rounds, "seconds": seconds,
            "cases": {case.key: {"title": case.title, "floor": case.floor, "ratio": ratio(r), **r} for case, r in results},
            "fairness": {case.key: {"title": case.title, "floor": case.floor, **found} for case, found in fair}}
    data |= {key: before[key] for key in ("database", "openflow") if key in before}
    file.write_text(json.dumps(data, indent=1) + "\n")
    (top / "docs" / "performance.svg").write_text(chart(results))
    text = f"""# Performance

Made by `scripts/bench`. One core ({cpu()}, {hertz / 1e9:.2f} GHz), 60-byte frames unless said, net_pcap in an endless loop to
net_null, testpmd's io forwarding, Open vSwitch with DPDK (Debian 12) and Ironbridge in turn, {rounds} rounds of {seconds:g} s each in each of
{runs} runs. Mpps are the best of all rounds, the median in brackets; the ratio is that of the best rounds, for each run.
Own cycles are the total for each packet less io's of the same round, the least of the rounds. What is compared with
itself (l) is one process with and without the changes, in turn.

{table(results)}

![Mpps on one core](performance.svg)
"""
    if fair:
        text += f"\nWhat one sender does to another, medians of the rounds (least and most):\n\n{shares(fair)}\n"
    for part in database_part(database), openflow_part(openflow):
        text += "\n" + part if part else ""
    (top / "docs" / "performance.md").write_text(text)
    readme = top / "README.md"
    start, end = "<!-- performance -->", "<!-- /performance -->"
    before, _, rest = readme.read_text().partition(start)
    _, found, after = rest.partition(end)
    if found:
        readme.write_text(f"{before}{start}\n{table(results)}\n{end}{after}")
