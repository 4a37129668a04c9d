//! Choosing rows.

use penstock_client::DateRange;

use super::*;

fn invoices(server: &Server) -> Vec<String> {
    let mut rows = server.rows();
    rows.sort_by_key(line);
    rows.iter().map(|row| row["InvoiceNo"].as_str().unwrap().to_owned()).collect()
}

fn numbered(rows: u64) -> String {
    let mut text = "InvoiceNo,InvoiceDate\n".to_owned();
    for row in 1..=rows {
        // One row a day, from 1 December on.
        let (month, day) = if row <= 31 { (12, row) } else { (1, row - 31) };
        text.push_str(&format!("{row},{month}/{day}/{} {}:00\n", 2010 + u32::from(month == 1), row % 24));
    }
    text
}

fn dates(from: Option<&str>, until: Option<&str>, format: Option<&str>) -> Option<DateRange> {
    Some(DateRange {
        column: "InvoiceDate".to_owned(),
        from: from.map(|date| date.parse().unwrap()),
        until: until.map(|date| date.parse().unwrap()),
        format: format.map(|format| format.parse().unwrap()),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_chosen_by_number_by_count_and_by_date() {
    let (_folder, path) = file(numbered(40));
    let choices: [(&str, fn(&mut SendOptions), std::ops::Range<u64>); 6] = [
        ("a range", |options| options.select.rows = "10..13".parse().unwrap(), 10..13),
        ("an open range", |options| options.select.rows = "38..".parse().unwrap(), 38..41),
        ("a number of lines", |options| options.select.limit = Some(3), 1..4),
        (
            "lines of a range",
            |options| {
                options.select.rows = "10..".parse().unwrap();
                options.select.limit = Some(2);
            },
            10..12,
        ),
        ("dates", |options| options.select.dates = dates(Some("2010-12-30"), Some("2011-01-02T09:00"), None), 30..33),
        (
            "lines of dates",
            |options| {
                options.select.dates = dates(Some("2010-12-20"), None, Some("%m/%d/%Y %H:%M"));
                options.select.limit = Some(4);
            },
            20..24,
        ),
    ];
    for (name, choose, expected) in choices {
        let server = Server::start(Config { id_field: Some("_id"), ..Config::default() }).await;
        let mut options = options(&path, &server);
        choose(&mut options);
        let summary = run(options).await.unwrap();
        let expected: Vec<String> = expected.map(|number| number.to_string()).collect();
        assert_eq!(invoices(&server), expected, "{name}");
        assert_eq!(summary.counts.rows_selected, expected.len() as u64, "{name}");
        assert_eq!(summary.exit_code(), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guessed_date_format_is_shown_and_an_ambiguous_one_is_an_error() {
    let (_folder, path) = file(numbered(40));
    let server = Server::start(Config::default()).await;
    let mut guessed = options(&path, &server);
    guessed.select.dates = dates(Some("2010-12-30"), None, None);
    let summary = run(guessed).await.unwrap();
    assert_eq!(summary.date_format.as_deref(), Some("%m/%d/%Y %H:%M"));
    let (_folder, path) = file(numbered(12));
    let mut ambiguous = options(&path, &server);
    ambiguous.select.dates = dates(Some("2010-12-05"), None, None);
    let error = run(ambiguous).await.unwrap_err();
    assert!(error.reason() == "dates" && error.chain().contains("--date-format"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_date_cannot_be_read_are_reported_and_rows_outside_a_range_are_not() {
    let (_folder, path) = file("InvoiceNo,InvoiceDate\n1,x,too many\n2,12/13/2010\n3,soon\n4,12/14/2010\n5,1,2,3\n");
    let server = Server::start(Config { id_field: Some("_id"), ..Config::default() }).await;
    let mut options = options(&path, &server);
    options.select.rows = "2..5".parse().unwrap();
    options.select.dates = dates(Some("2010-12-14"), None, Some("%m/%d/%Y"));
    let summary = run(options).await.unwrap();
    assert_eq!(invoices(&server), ["4"]);
    assert_eq!((summary.counts.rows_bad, summary.exit_code()), (1, 3));
    assert!(std::fs::read_to_string(summary.rejects.unwrap()).unwrap().contains("4,date_unreadable,InvoiceDate,"));
}
