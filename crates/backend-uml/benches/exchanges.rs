//! Prints how long a kernel takes to start and how many exchanges a second it carries out, each
//! operation followed by a look at its file, in batches of 256.
//!
//! `cargo bench -p backend-uml` takes the kernel that is found; `-- uml=6.12` takes another.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use backend_uml::{Uml, UmlOptions, agent};
use data::Content;
use scenario::{
    Backend, BackendError, DedupeCall, Exchange, Fd, Geometry, Name, Op, Outcome, Probe, Reply,
};

const NR_BATCHES: u64 = 8;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|role| role == "agent") {
        return agent::run(&args[1..]);
    }
    let wanted = args
        .iter()
        .filter_map(|arg| arg.to_str()?.strip_prefix("uml="))
        .next_back();
    match measure(wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(wanted: Option<&str>) -> Result<(), BackendError> {
    let kernel = backend_uml::find(wanted)?;
    let start = Instant::now();
    let mut uml = Uml::start(UmlOptions::new(kernel)?)?;
    println!(
        "{}: ready after {:.2} s",
        uml.name(),
        start.elapsed().as_secs_f64()
    );

    let start = Instant::now();
    uml.reset(&Geometry::default())?;
    println!("reset: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let files = [look("A"), look("B")].map(|probe| Exchange {
        op: Op::File {
            name: probe.name.clone(),
            is_nocow: false,
        },
        probes: vec![probe],
    });
    uml.run(&files)?;
    rate(&mut uml, "observe", |_| look_only("A"))?;
    rate(&mut uml, "pwrite 16K + observe", |number| {
        write("A", number)
    })?;
    rate(&mut uml, "pwrite 16K + observe (the other)", |number| {
        write("B", number)
    })?;
    uml.apply(&Op::Sync)?;
    let replies = rate(&mut uml, "dedupe 16K + observe", dedupe)?;
    let is_same = |reply: &&Reply| match &reply.answer.outcome {
        Outcome::Dedupe { elements, .. } => elements.iter().all(|one| one.status == 0),
        _ => false,
    };
    println!(
        "{} of {} dedupes succeeded",
        replies.iter().filter(is_same).count(),
        replies.len()
    );
    rate(&mut uml, "pwrite, flush", |number| match number % 2 {
        0 => write("A", number),
        _ => with_look(Op::Flush { name: name("A") }),
    })?;
    rate(&mut uml, "pwrite, fsync", |number| match number % 2 {
        0 => write("A", number),
        _ => with_look(Op::Fsync { name: name("A") }),
    })?;
    rate(&mut uml, "pwrite, sync", |number| match number % 2 {
        0 => write("A", number),
        _ => with_look(Op::Sync),
    })?;
    rate(&mut uml, "tick", |_| with_look(Op::Tick))?;
    rate(&mut uml, "pwrite, dedupe, dirty", |number| {
        match number % 3 {
            0 => write("A", number / 3),
            1 => write("B", number / 3),
            _ => dedupe(number / 3),
        }
    })?;
    Ok(())
}

/// Runs batches of what `make` returns for 0, 1, 2 and so on, and prints how many a second.
fn rate(
    uml: &mut Uml,
    what: &str,
    make: impl Fn(u64) -> Exchange,
) -> Result<Vec<Reply>, BackendError> {
    let batch_max = uml.capabilities().batch_max as u64;
    let mut replies = Vec::new();
    let start = Instant::now();
    for batch_idx in 0..NR_BATCHES {
        let numbers = batch_idx * batch_max..(batch_idx + 1) * batch_max;
        let batch: Vec<Exchange> = numbers.map(&make).collect();
        replies.extend(uml.run(&batch)?);
    }
    println!(
        "{what}: {:.0}/s",
        replies.len() as f64 / start.elapsed().as_secs_f64()
    );
    Ok(replies)
}

/// Returns where the `number`th operation happens: within 1 MiB, so that maps stay short.
fn at(number: u64) -> u64 {
    (number * 7 % 64) << 14
}

fn write(file: &str, number: u64) -> Exchange {
    let content = Content::pattern(1, at(number), 16 << 10);
    Exchange {
        op: Op::Write {
            name: name(file),
            offset: at(number),
            content,
        },
        probes: vec![look(file)],
    }
}

fn dedupe(number: u64) -> Exchange {
    let (source, target) = (Fd::file(name("A")), Fd::file(name("B")));
    let call = DedupeCall::new(source, at(number), 16 << 10, target, at(number));
    Exchange {
        op: Op::Dedupe(call),
        probes: vec![look("B")],
    }
}

fn with_look(op: Op) -> Exchange {
    Exchange {
        op,
        probes: vec![look("A")],
    }
}

fn look_only(file: &str) -> Exchange {
    Exchange {
        op: Op::Observe {
            names: vec![name(file)],
        },
        probes: vec![look(file)],
    }
}

fn look(file: &str) -> Probe {
    Probe {
        name: name(file),
        expected_shape: None,
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name of the language")
}
