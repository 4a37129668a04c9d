//! What docs/cost.md shows is what the command prints. `PENSTOCK_WRITE_GENERATED=1` writes it anew.

use std::path::Path;

use crate::command::cost;

const BEGIN: &str = "```console\n$ penstock cost ";
const END: &str = "```";

/// The text with what each command in it prints.
fn written_anew(text: &str) -> String {
    let mut parts = text.split(BEGIN);
    let mut anew = parts.next().unwrap().to_owned();
    for part in parts {
        let (command, rest) = part.split_once('\n').unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let output = cost(&command.split_whitespace().collect::<Vec<_>>());
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        anew.push_str(&format!("{BEGIN}{command}\n{}{END}{after}", String::from_utf8(output.stdout).unwrap()));
    }
    anew
}

#[test]
fn the_tables_of_the_page_are_what_the_command_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cost.md");
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.matches(BEGIN).count() >= 3, "{}", page.display());
    let anew = written_anew(&text);
    if std::env::var_os("PENSTOCK_WRITE_GENERATED").is_some() {
        std::fs::write(&page, &anew).unwrap();
        return;
    }
    assert_eq!(text, anew, "run with PENSTOCK_WRITE_GENERATED=1 if it is meant");
}
