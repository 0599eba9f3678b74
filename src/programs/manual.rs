//! Manual pages and completion of the programs, from what they say of themselves: the text of `--help`, their options, their
//! commands with arguments.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::options::{Known, Takes};

/// What a program says of itself.
pub struct About {
    pub name: &'static str,
    /// The text of `--help`.
    pub usage: String,
    pub options: Vec<Known>,
    pub commands: Vec<Command>,
    /// Tables whose rows its commands take by name.
    pub tables: Vec<&'static str>,
}

/// A command of a program.
pub struct Command {
    pub name: &'static str,
    /// Words in capitals, each one argument; before them `!` (needed), `?` (may be left out), `+` and `*` (several).
    pub arguments: &'static str,
    /// With `=` where they have a value.
    pub options: &'static [&'static str],
}

/// A page in roff: the text of `--help` with its sections, and what else there is to know.
pub fn page(about: &About) -> String {
    let name = about.name;
    let mut lines = about.usage.lines();
    let first = lines.next().unwrap_or_default();
    let what = first.strip_prefix(name).map_or(first, |rest| rest.trim_start_matches(':').trim());
    let mut out = format!(".TH {} 8 \"\" \"Ironbridge\" \"Ironbridge\"\n.SH NAME\n", escape(&name.to_uppercase()));
    let _ = writeln!(out, "{} \\- {}\n.SH SYNOPSIS\n.nf", escape(name), escape(what));
    for line in lines {
        match line.strip_suffix(':').filter(|head| !head.is_empty() && !head.starts_with(' ')) {
            Some(head) => {
                let _ = writeln!(out, ".fi\n.SH \"{}\"\n.nf", escape(&head.to_uppercase()));
            }
            None => {
                let _ = writeln!(out, "{}", escape(line.strip_prefix("usage: ").unwrap_or(line)));
            }
        }
    }
    let _ = write!(
        out,
        ".fi\n.SH NOTES\nThis is Ironbridge's {0}: {1} under that name, or with it as its first argument. It takes the words of\n\
         Open vSwitch's {0}, whose manual tells more of them.\n.SH SEE ALSO\n.BR {1} (8)\n",
        escape(name),
        "ironbridge",
    );
    out
}

/// Text that roff prints as it is.
fn escape(text: &str) -> String {
    let plain = text.replace('\\', "\\e").replace('-', "\\-");
    match plain.starts_with(['.', '\'']) {
        true => format!("\\&{plain}"),
        false => plain,
    }
}

/// A script for bash (and zsh, with `bashcompinit`) that completes all of these programs: options and commands, several
/// commands in one line, and names that the database has.
pub fn bash(programs: &[About]) -> String {
    let mut out = String::from(HEAD);
    for about in programs {
        let id = about.name.replace('-', "_");
        // those of commands stand before them
        let of_commands: BTreeSet<&str> = about.commands.iter().flat_map(|c| c.options).copied().collect();
        let options =
            about.options.iter().map(|o| long(o.long, o.takes)).chain(of_commands.into_iter().map(str::to_owned));
        let options: Vec<String> = options.collect();
        let valued = about.options.iter().filter(|o| o.short != '\0' && o.takes == Takes::Value);
        let valued: Vec<String> = valued.map(|o| format!("-{}", o.short)).collect();
        let commands: Vec<&str> = about.commands.iter().map(|c| c.name).collect();
        let _ = write!(out, "\n_ironbridge_{id}() {{\n  options='{}'\n", options.join(" "));
        let _ = write!(out, "  valued=' {} '\n  commands='{}'\n", valued.join(" "), commands.join(" "));
        let _ = write!(out, "  tables='{}'\n  case $1 in\n", about.tables.join(" "));
        for command in &about.commands {
            // a word is one shell word: no command of these has quotes in its description
            let _ = writeln!(out, "    {}) arguments='{}' ;;", command.name, command.arguments);
        }
        let _ = write!(
            out,
            "    *) arguments='' ;;\n  esac\n}}\ncomplete -o default -F _ironbridge_complete {}\n",
            about.name
        );
    }
    out
}

fn long(name: &str, takes: Takes) -> String {
    let equals = if takes == Takes::Value { "=" } else { "" };
    format!("--{name}{equals}")
}

const HEAD: &str = r#"# Completion of Open vSwitch's programs as Ironbridge has them, for bash; for zsh after: autoload -U +X bashcompinit && bashcompinit
# Made by: ironbridge completion ovs

# what may stand at an argument called $1, of command words $3...; $2 is the program and its options
_ironbridge_names() {
  local kind=$1 tool=$2 table=$4
  case $kind in
    BRIDGE | PARENT) $tool --timeout=2 list-br ;;
    PORT | BOND) $tool --timeout=2 --bare --columns=name list port ;;
    IFACE | PORT\|IFACE) $tool --timeout=2 --bare --columns=name list interface ;;
    MODE) printf '%s\n' standalone secure ;;
    RECORD) [[ ${table,,} == open_vswitch ]] && echo . || $tool --timeout=2 --bare --columns=name list "$table" ;;
    TABLE) echo "$tables" ;;
  esac 2>/dev/null
}

_ironbridge_complete() {
  local program=${1##*/} line cur command='' words=() tool=$1 i kind
  local options commands arguments valued tables
  read -ra line <<<"${COMP_LINE:0:COMP_POINT}"
  [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && line+=('')
  cur=${line[${#line[@]} - 1]}
  _ironbridge_${program//-/_} ''
  for ((i = 1; i < ${#line[@]} - 1; i++)); do
    case ${line[i]} in
      --) words=() command='' ;;
      --db=*) tool+=" ${line[i]}" ;;
      -?) [[ -z $command && $valued == *" ${line[i]} "* ]] && ((i++)) ;;
      -*) ;;
      *) words+=("${line[i]}") command=${words[0]} ;;
    esac
  done
  _ironbridge_${program//-/_} "$command"
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  elif [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$cur"))
  else
    # the argument that this is; one that may come several times is the last of them
    local kinds=($arguments)
    i=$((${#words[@]} - 1))
    ((i >= ${#kinds[@]})) && i=$((${#kinds[@]} - 1))
    ((i >= 0)) || return 0
    kind=${kinds[i]#[!?+*]}
    COMPREPLY=($(compgen -W "$(_ironbridge_names "$kind" "$tool" "${words[@]}")" -- "$cur"))
  fi
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::option;

    fn about() -> About {
        About {
            name: "some-tool",
            usage: "some-tool: does some\nusage: some-tool [OPTIONS]\n\nCommands:\n  .do X   \\ it\n".into(),
            options: vec![option("timeout", 't', Takes::Value), option("help", 'h', Takes::Nothing)],
            commands: vec![Command { name: "do", arguments: "!BRIDGE *KEY=VALUE", options: &["--all"] }],
            tables: vec!["Some"],
        }
    }

    #[test]
    fn pages_have_what_help_says() {
        let page = page(&about());
        assert!(page.contains(".SH NAME\nsome\\-tool \\- does some\n"), "{page}");
        assert!(page.contains(".SH \"COMMANDS\"\n.nf\n  .do X   \\e it\n"), "{page}");
    }

    #[test]
    fn scripts_are_bash() {
        let script = bash(&[about()]);
        assert!(script.contains("options='--timeout= --help --all'") && script.contains("valued=' -t '"), "{script}");
        assert!(script.contains("do) arguments='!BRIDGE *KEY=VALUE' ;;"), "{script}");
        let said = std::process::Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}
