//! The screen of `top`.

use std::time::Duration;

use base::clock::Clock;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table as Widget};
use ratatui::{DefaultTerminal, Frame as Canvas};

use super::{Frame, Sort, Wish};
use crate::cli::table::{Column, Table, short};
use crate::view::Snapshot;

const KEYS: &str = "q quit  r rx  t tx  d drops  n name  u queues  m matrix  space hold";

/// What the keys chose.
struct Choice {
    sort: Sort,
    queues: bool,
    square: bool,
    hold: bool,
}

/// What a key asked for.
enum Asked {
    Quit,
    Redraw,
    Nothing,
}

/// Shows frames until `q` or Ctrl-C.
///
/// # Errors
/// The switch cannot be asked at first, or the terminal fails. Later the screen says what is wrong and tries on.
pub(super) fn run(wish: &Wish) -> Result<(), String> {
    let first = wish.look()?;
    let mut terminal = ratatui::try_init().map_err(|e| format!("no terminal: {e} (--once needs none)"))?;
    let result = turns(wish, &mut terminal, first);
    ratatui::restore();
    result
}

fn turns(wish: &Wish, terminal: &mut DefaultTerminal, first: Snapshot) -> Result<(), String> {
    let clock = Clock::real();
    let mut choice = Choice { sort: wish.sort, queues: false, square: true, hold: false };
    let (mut before, mut after) = (first.clone(), first);
    let mut problem = None;
    let mut due = clock.now() + wish.interval.min(Duration::from_millis(500));
    loop {
        let frame = Frame::between(&before, &after, choice.sort);
        let drawn = terminal.draw(|canvas| draw(canvas, &frame, &choice, problem.as_deref()));
        drawn.map_err(|e| e.to_string())?;
        loop {
            let wait = Duration::from_nanos(due.as_nanos().saturating_sub(clock.now().as_nanos()));
            if event::poll(wait).map_err(|e| e.to_string())? {
                match asked(&event::read().map_err(|e| e.to_string())?, &mut choice) {
                    Asked::Quit => return Ok(()),
                    Asked::Redraw => break,
                    Asked::Nothing => continue,
                }
            }
            due = clock.now() + wish.interval;
            if choice.hold {
                continue;
            }
            match wish.look() {
                Ok(look) => {
                    (before, after) = (after, look);
                    problem = None;
                }
                Err(e) => problem = Some(e),
            }
            break;
        }
    }
}

fn asked(event: &Event, choice: &mut Choice) -> Asked {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        Event::Resize(..) => return Asked::Redraw,
        _ => return Asked::Nothing,
    };
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Asked::Quit,
        KeyCode::Char('q') | KeyCode::Esc => return Asked::Quit,
        KeyCode::Char('r') => choice.sort = Sort::Rx,
        KeyCode::Char('t') => choice.sort = Sort::Tx,
        KeyCode::Char('d') => choice.sort = Sort::Drops,
        KeyCode::Char('n') => choice.sort = Sort::Name,
        KeyCode::Char('u') => choice.queues = !choice.queues,
        KeyCode::Char('m') => choice.square = !choice.square,
        KeyCode::Char(' ') => choice.hold = !choice.hold,
        _ => return Asked::Nothing,
    }
    Asked::Redraw
}

fn draw(canvas: &mut Canvas<'_>, frame: &Frame, choice: &Choice, problem: Option<&str>) {
    use Constraint::{Fill, Length};
    let [head, upper, middle, lower, foot] =
        Layout::vertical([Length(1), Fill(3), Fill(2), Fill(2), Length(1)]).areas(canvas.area());
    let [left, right] = Layout::horizontal([Fill(3), Fill(2)]).areas(upper);
    let [bottom_left, bottom_right] = Layout::horizontal([Fill(1), Fill(1)]).areas(lower);
    canvas.render_widget(Line::styled(frame.headline(), Style::new().add_modifier(Modifier::BOLD)), head);
    table(canvas, left, &if choice.queues { frame.queue_table() } else { frame.port_table() });
    cores(canvas, right, frame);
    table(canvas, middle, &frame.flow_table());
    table(canvas, bottom_left, &frame.drop_table());
    if choice.square {
        square(canvas, bottom_right, frame);
    } else {
        table(canvas, bottom_right, &frame.talk_table());
    }
    let held = if choice.hold { "HELD  " } else { "" };
    let last = match problem {
        Some(e) => Line::styled(e.to_owned(), Style::new().fg(Color::Red)),
        None => Line::styled(format!("{held}{KEYS}"), Style::new().add_modifier(Modifier::DIM)),
    };
    canvas.render_widget(last, foot);
}

fn table(canvas: &mut Canvas<'_>, area: Rect, table: &Table) {
    let widths = table.widths();
    let cell = |text: &str, column: &Column| {
        let line = Line::raw(text.to_owned());
        Cell::new(if matches!(column, Column::Number(_)) { line.right_aligned() } else { line.left_aligned() })
    };
    let head =
        Row::new(table.columns.iter().map(|c| cell(c.name(), c))).style(Style::new().add_modifier(Modifier::BOLD));
    let rows = table.rows.iter().map(|r| Row::new(r.iter().zip(&table.columns).map(|(text, c)| cell(text, c))));
    let last = widths.len().saturating_sub(1);
    let widths = widths.iter().enumerate().map(|(i, w)| match i == last {
        true => Constraint::Fill(1),
        false => Constraint::Length(*w as u16),
    });
    let block = Block::bordered().title(table.title.clone());
    canvas.render_widget(Widget::new(rows, widths).header(head).block(block), area);
}

/// A bar for each worker.
fn cores(canvas: &mut Canvas<'_>, area: Rect, frame: &Frame) {
    let width = usize::from(area.width.saturating_sub(34));
    let lines = frame.workers.iter().map(|w| {
        let full = ((w.load * width as f64).round() as usize).min(width);
        let colour = match w.load {
            l if l > 0.9 => Color::Red,
            l if l > 0.7 => Color::Yellow,
            _ => Color::Green,
        };
        Line::from(vec![
            Span::raw(format!("{:<10}", w.name)),
            Span::styled("█".repeat(full), Style::new().fg(colour)),
            Span::styled("░".repeat(width - full), Style::new().add_modifier(Modifier::DIM)),
            Span::raw(format!(" {:>4.0}% {:>5} pkt/s", 100.0 * w.load, short(w.packets))),
        ])
    });
    let block = Block::bordered().title("Cores");
    canvas.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

/// Who sends to whom: rows send, columns receive.
fn square(canvas: &mut Canvas<'_>, area: Rect, frame: &Frame) {
    let most = usize::from(area.width.saturating_sub(12) / 8).max(1);
    let (names, rows) = frame.square(most);
    let cut = |name: &str| name.chars().take(7).collect::<String>();
    let mut line = format!("{:7}", "");
    names.iter().for_each(|n| line.push_str(&format!(" {:>7}", cut(n))));
    let mut lines = vec![Line::styled(line, Style::new().add_modifier(Modifier::BOLD))];
    for (name, row) in names.iter().zip(&rows) {
        let mut line = format!("{:7}", cut(name));
        for n in row {
            let cell = if *n == 0 { "·".to_owned() } else { short(*n) };
            line.push_str(&format!(" {cell:>7}"));
        }
        lines.push(Line::raw(line));
    }
    let block = Block::bordered().title("Packets/s from row to column");
    canvas.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Fates, Port, Talk, Worker};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyEvent;

    fn shown(choice: &Choice, width: u16, height: u16) -> String {
        let look = |at: u64, packets: u64| Snapshot {
            at,
            ports: vec![Port {
                name: "vm1".into(),
                datapath: Some(1),
                received: Fates { packets, ..Fates::default() },
                ..Port::default()
            }],
            workers: vec![Worker { name: "worker1".into(), busy: packets, time: at, ..Worker::default() }],
            matrix: vec![Talk { from: "vm1".into(), to: "vm2".into(), packets }],
            ..Snapshot::default()
        };
        let (before, after) = (look(0, 0), look(1_000_000_000, 500_000_000));
        let frame = Frame::between(&before, &after, choice.sort);
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|canvas| draw(canvas, &frame, choice, None)).unwrap();
        terminal.backend().to_string()
    }

    fn choice() -> Choice {
        Choice { sort: Sort::Rx, queues: false, square: true, hold: false }
    }

    #[test]
    fn the_screen_has_ports_cores_and_matrix() {
        let text = shown(&choice(), 140, 40);
        for wanted in ["vm1", "vm2", "500M", "50%", "worker1", "q quit", "Packets/s from row to column"] {
            assert!(text.contains(wanted), "{wanted}:\n{text}");
        }
    }

    #[test]
    fn any_size_can_be_drawn() {
        for (width, height) in [(1, 1), (10, 3), (33, 8), (300, 100)] {
            shown(&choice(), width, height);
        }
    }

    #[test]
    fn keys_sort_hold_and_quit() {
        let mut choice = choice();
        let mut press = |c: char, m| asked(&Event::Key(KeyEvent::new(KeyCode::Char(c), m)), &mut choice);
        let none = KeyModifiers::NONE;
        assert!(matches!(press('t', none), Asked::Redraw));
        assert!(matches!(press(' ', none), Asked::Redraw));
        assert!(matches!(press('x', none), Asked::Nothing));
        assert!(matches!(press('q', none), Asked::Quit));
        assert!(matches!(press('c', KeyModifiers::CONTROL), Asked::Quit));
        assert!(choice.hold && choice.sort == Sort::Tx);
    }
}
