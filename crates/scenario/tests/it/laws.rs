//! What holds of all values: printing loses nothing, parsing never panics.

use proptest::prelude::*;
use scenario::{Labels, Name, Observation, Op, Places, Scenario, parse_op, protocol};
use scenario::{render_answer, render_observation, text};

use crate::arbitrary;

proptest! {
    #[test]
    fn a_printed_operation_parses_as_itself(op in arbitrary::op()) {
        let text = op.to_string();
        let parsed = parse_op(&text);
        prop_assert_eq!(parsed.as_ref(), Ok(&op), "{}", &text);
        prop_assert_eq!(parsed.map(|op| op.to_string()), Ok(text));
    }

    #[test]
    fn a_printed_scenario_parses_as_itself(scenario in arbitrary::scenario()) {
        let text = scenario.to_string();
        let parsed = Scenario::parse(&text);
        prop_assert_eq!(parsed.as_ref(), Ok(&scenario), "{}", &text);
        prop_assert_eq!(parsed.map(|scenario| scenario.to_string()), Ok(text));
    }

    #[test]
    fn a_printed_batch_and_its_replies_parse_as_themselves(
        (exchanges, replies) in arbitrary::conversation()
    ) {
        let text = protocol::print_exchanges(&exchanges);
        let parsed = protocol::parse_exchanges(&text);
        prop_assert_eq!(parsed.as_ref(), Ok(&exchanges), "{}", &text);
        let text = protocol::print_replies(&replies);
        let parsed = protocol::parse_replies(&text, &exchanges);
        prop_assert_eq!(parsed.as_ref(), Ok(&replies), "{}", &text);
        prop_assert_eq!(protocol::complete(&text), (text.as_str(), replies.len()));
    }

    #[test]
    fn a_size_parses_as_itself(bytes: u64) {
        let text = text::Size(bytes).to_string();
        prop_assert_eq!(text::Size::parse(&text), Some(bytes));
    }

    #[test]
    fn every_answer_and_every_map_can_be_rendered(
        answer in arbitrary::answer(),
        op in arbitrary::op(),
        map in arbitrary::map(),
    ) {
        render_answer(&answer, &op);
        let stat = scenario::Stat {
            kind: scenario::FileKind::Regular,
            size: 0,
            blocks: 0,
            mode: 0,
            uid: 0,
            mtime_changed: false,
            ctime_changed: false,
        };
        let seen = Observation::File { stat, content: data::Digest::from_raw(0), map };
        let mut labels = Labels::new();
        let first = render_observation(&Name::top(), &seen, Places::Labelled(&mut labels));
        prop_assert!(!first.is_empty());
        let again = render_observation(&Name::top(), &seen, Places::Labelled(&mut labels));
        prop_assert_eq!(first.len() == 1, again.len() == 1);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC*") {
        let _ = Scenario::parse(&text);
        let _ = parse_op(&text);
        let _ = protocol::parse_exchanges(&text);
        let _ = protocol::parse_replies(&text, &[]);
    }

    #[test]
    fn no_spoilt_scenario_makes_the_parser_panic(
        scenario in arbitrary::scenario(),
        at: proptest::sample::Index,
        spoil in "[ -~\n\u{20ac}]{0,3}",
    ) {
        let mut text: Vec<char> = scenario.to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, spoil.chars());
        let text: String = text.into_iter().collect();
        if let Ok(parsed) = Scenario::parse(&text) {
            let printed = parsed.to_string();
            prop_assert_eq!(Scenario::parse(&printed), Ok(parsed), "{}", printed);
        }
    }

    #[test]
    fn no_spoilt_replies_make_the_parser_panic(
        (exchanges, replies) in arbitrary::conversation(),
        at: proptest::sample::Index,
        spoil in "[ -~\n\u{20ac}]{0,3}",
    ) {
        let mut text: Vec<char> = protocol::print_replies(&replies).chars().collect();
        let at = at.index(text.len() + 1);
        text.splice(at..text.len().min(at + 1), spoil.chars());
        let text: String = text.into_iter().collect();
        let parsed = protocol::parse_replies(&text, &exchanges);
        if let Ok(parsed) = parsed {
            prop_assert_eq!(parsed.len(), exchanges.len());
        }
        let (complete, nr_replies) = protocol::complete(&text);
        prop_assert!(text.starts_with(complete) && nr_replies <= text.len());
    }

    #[test]
    fn an_error_points_into_its_line(text in "[ -~\u{20ac}]{0,30}") {
        if let Err(error) = text.parse::<Op>() {
            prop_assert_eq!(error.line, 1);
            prop_assert!(1 <= error.column && error.column <= text.chars().count() + 1);
        }
    }
}
