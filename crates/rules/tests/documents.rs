//! `docs/rules.md` and `docs/mutants.md` say what the tables say. `XSAME_BLESS=1` rewrites them.

use std::fs;
use std::path::Path;

#[track_caller]
fn check(file: &str, rendered: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(file);
    if std::env::var_os("XSAME_BLESS").is_some() {
        fs::write(&path, rendered).expect("docs can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == rendered,
        "docs/{file} is stale: run XSAME_BLESS=1 cargo test -p rules"
    );
}

#[test]
fn the_document_of_rules_is_rendered_from_the_tables() {
    let rendered = rules::document::rules_markdown().expect("every profile folds");
    check("rules.md", &rendered);
}

#[test]
fn the_document_of_mutants_is_rendered_from_the_tables() {
    check("mutants.md", &rules::document::mutants_markdown());
}
