//! Colours of flows, `--color` and `OVS_COLORS` of ovs-ofctl(8).
//!
//! A line is coloured as it was written for no colours: what is put in are escape sequences alone.

use std::io::IsTerminal;

/// What is coloured: the capabilities of `OVS_COLORS`.
#[derive(Clone, Copy)]
enum Part {
    Actions,
    Drop,
    Learn,
    Name,
    Keyword,
    Special,
    Value,
}

/// Their names, and the substrings of SGR that they have unless it is said otherwise.
const PARTS: [(&str, &str); 7] =
    [("ac", "1;31"), ("dr", "34"), ("le", "31"), ("pm", "36"), ("pr", "35"), ("sp", "33"), ("vl", "32")];

/// Names of a flow that are special before `=` or `:`.
const SPECIAL: [&str; 7] = ["table", "priority", "load", "output", "move", "group", "set_field"];
/// Words that stand for a match, or for an argument, by themselves.
const LONE: [&str; 19] = [
    "ip",
    "ipv6",
    "icmp",
    "icmp6",
    "tcp",
    "tcp6",
    "udp",
    "udp6",
    "sctp",
    "sctp6",
    "arp",
    "rarp",
    "mpls",
    "mplsm",
    "commit",
    "force",
    "pause",
    "pop_queue",
    "strip_vlan",
];
/// A substring of SGR for each part.
pub(super) struct Palette([String; 7]);

impl Palette {
    /// What `--color` and the environment ask for; None: no colours.
    ///
    /// # Errors
    /// `when` is none of the words that there are.
    pub(super) fn new(when: Option<&str>, colours: Option<&str>) -> Result<Option<Palette>, String> {
        let on = match when {
            Some("always" | "yes" | "force") => true,
            Some("never" | "no" | "none") | None => false,
            Some("" | "auto" | "tty" | "if-tty") => {
                std::io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb")
            }
            Some(other) => return Err(format!("incorrect value `{other}' for --color")),
        };
        let mut parts = PARTS.map(|(_, sgr)| sgr.to_owned());
        for (name, sgr) in colours.unwrap_or("").split(':').filter_map(|item| item.split_once('=')) {
            let at = PARTS.iter().position(|(known, _)| *known == name);
            let is_sgr = sgr.bytes().all(|b| b.is_ascii_digit() || b == b';');
            if let Some(part) = at.filter(|_| is_sgr).and_then(|at| parts.get_mut(at)) {
                *part = sgr.to_owned();
            }
        }
        Ok(on.then_some(Palette(parts)))
    }

    fn put(&self, out: &mut String, part: Part, text: &str) {
        let sgr = self.0.get(part as usize).map_or("", String::as_str);
        *out += &format!("\x1b[{sgr}m\x1b[K{text}\x1b[m\x1b[K");
    }

    /// Colours each line that has actions, as flows are dumped.
    pub(super) fn flows(&self, text: &str) -> String {
        text.split_inclusive('\n').map(|line| self.line(line, true)).collect()
    }

    /// The same of changes to flows, which keep the word before their actions as it is.
    pub(super) fn changes(&self, text: &str) -> String {
        text.split_inclusive('\n').map(|line| self.line(line, false)).collect()
    }

    fn line(&self, line: &str, keyword: bool) -> String {
        let Some((matching, actions)) = line.split_once("actions=") else { return line.to_owned() };
        let mut out = String::new();
        self.part(&mut out, matching, true);
        match keyword {
            true => self.put(&mut out, Part::Actions, "actions="),
            false => out.push_str("actions="),
        }
        self.part(&mut out, actions, false);
        out
    }

    /// Words, and what follows them.
    fn part(&self, out: &mut String, mut rest: &str, matching: bool) {
        // the parts that open parentheses have, which close them too
        let mut open: Vec<Option<Part>> = Vec::new();
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let next = after.chars().next();
            let shut = |word: &str| format!("{word}{}", next.unwrap_or_default());
            rest = match (word, next) {
                ("", _) => {
                    let (own, after) = rest.split_at(first.len_utf8());
                    match (first, after.strip_prefix('>')) {
                        ('-', Some(after)) => {
                            self.put(out, Part::Special, "->");
                            rest = after;
                            continue;
                        }
                        ('(', _) => open.push(None),
                        (')', _) => {
                            if let Some(part) = open.pop().flatten() {
                                self.put(out, part, own);
                                rest = after;
                                continue;
                            }
                        }
                        _ => {}
                    }
                    out.push_str(own);
                    after
                }
                (word, Some('(')) if !matching => {
                    let part = if word == "learn" { Part::Learn } else { Part::Keyword };
                    self.put(out, part, &shut(word));
                    open.push(Some(part));
                    after.get(1..).unwrap_or("")
                }
                (word, Some(sign @ ('=' | ':'))) if word != "xid" && (sign == '=' || !matching) && named(word) => {
                    let special = SPECIAL.contains(&word) || word == "resubmit";
                    self.put(out, if special { Part::Special } else { Part::Name }, &shut(word));
                    // its value is no name, whatever is in it
                    let after = after.get(1..).unwrap_or("");
                    let end = after.find([',', ' ', ')', '(', '-', '[']).unwrap_or(after.len());
                    let (value, after) = after.split_at(end);
                    out.push_str(value);
                    after
                }
                (word, _) => {
                    match word {
                        "drop" => self.put(out, Part::Drop, word),
                        "exit" if !matching => self.put(out, Part::Special, word),
                        "dec_ttl" if !matching => self.put(out, Part::Keyword, word),
                        _ if LONE.contains(&word) => self.put(out, Part::Value, word),
                        _ => out.push_str(word),
                    }
                    after
                }
            };
        }
    }
}

/// Is it a name of a field or an argument, which numbers and ports are not?
fn named(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn palette() -> Palette {
        Palette::new(Some("always"), None).unwrap().unwrap()
    }

    fn plain(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            out += before;
            rest = &after[after.find(['m', 'K']).unwrap() + 1..];
        }
        out + rest
    }

    #[test]
    fn as_the_stock_program_colours() {
        let told =
            palette().flows(" cookie=0x0, duration=1.000s, table=1, priority=5,tcp,in_port=1 actions=output:2,drop\n");
        let short = told.replace("\x1b[K", "").replace("\x1b[m", "}").replace("\x1b[", "{");
        assert_eq!(
            short,
            " {36mcookie=}0x0, {36mduration=}1.000s, {33mtable=}1, {33mpriority=}5,{32mtcp},{36min_port=}1 {1;31mactions=}\
             {33moutput:}2,{34mdrop}\n"
        );
        let told = palette().changes("ADD actions=ct(commit,zone=3,exec(load:0x1->NXM_NX_CT_MARK[])),learn(table=2)\n");
        let short = told.replace("\x1b[K", "").replace("\x1b[m", "}").replace("\x1b[", "{");
        assert_eq!(
            short,
            "ADD actions={35mct(}{32mcommit},{36mzone=}3,{35mexec(}{33mload:}0x1{33m->}NXM_NX_CT_MARK[]{35m)}{35m)},\
             {31mlearn(}{33mtable=}2{31m)}\n"
        );
    }

    #[test]
    fn nothing_but_colours_is_put_in() {
        for text in
            ["", "a", "actions=", "é=é actions=é(é)->é", "x actions=((a)))->b:,c=1(", "(a=1) b:2 actions=c(d=e(f"]
        {
            assert_eq!(plain(&palette().flows(text)), text);
        }
    }

    #[test]
    fn what_the_environment_says() {
        let own = Palette::new(Some("always"), Some("dr=35:zz=1:pm:ac=x")).unwrap().unwrap();
        assert_eq!(own.0[1], "35");
        assert_eq!((own.0[0].as_str(), own.0[3].as_str()), ("1;31", "36"));
        assert!(Palette::new(Some("never"), None).unwrap().is_none());
        assert!(Palette::new(Some("pink"), None).is_err());
    }
}
