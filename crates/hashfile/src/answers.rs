//! Answers: what a run told, kept for as long as the filesystem stays what it was.
//!
//! Everything that changes a btrfs, in scope or not, is part of a transaction, and so is what the
//! kernel does of its own: if no transaction was committed since a question was asked, the answer
//! is the one that was found then. A question says all that the answer depends on besides.

use redb::{ReadableTableMetadata, TableDefinition, TableError};

use crate::bytes::{put, take};
use crate::database::Database;
use crate::error::HashfileError;
use crate::update::commit;

/// Answers by question; made with the first one.
const ANSWERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("answers");
/// So many are remembered, all of one state.
const NR_ANSWERS_MAX: u64 = 8;
/// Longer ones are not remembered, bytes.
const BYTES_MAX: usize = 16 << 20;

/// Returns the answer to a question that was found in the state after a transaction.
pub(crate) fn recall(
    database: &Database,
    question: &[u8],
    transid: u64,
) -> Result<Option<Vec<u64>>, HashfileError> {
    let read = database.read()?;
    let table = match read.open_table(ANSWERS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(|it| database.wrong(it))?,
    };
    let row = table.get(question).map_err(|it| database.wrong(it))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let bytes = &mut row.value();
    if take(bytes).map_err(|_| database.malformed())? != transid {
        return Ok(None);
    }
    let mut answer = Vec::new();
    while !bytes.is_empty() {
        answer.push(take(bytes).map_err(|_| database.malformed())?);
    }
    Ok(Some(answer))
}

/// Remembers an answer that was found in the state after a transaction, and forgets those of other
/// states.
pub(crate) fn learn(
    database: &mut Database,
    question: &[u8],
    transid: u64,
    answer: &mut dyn Iterator<Item = u64>,
) -> Result<(), HashfileError> {
    let mut row = Vec::new();
    put(&mut row, transid);
    for number in answer {
        put(&mut row, number);
        if BYTES_MAX < row.len() {
            return Ok(());
        }
    }
    let write = database.write()?;
    {
        let table = write.open_table(ANSWERS);
        let mut table = table.map_err(|it| database.wrong(it))?;
        let kept = table.retain(|_, mut row| take(&mut row) == Ok(transid));
        kept.map_err(|it| database.wrong(it))?;
        if NR_ANSWERS_MAX <= table.len().map_err(|it| database.wrong(it))? {
            let emptied = table.retain(|_, _| false);
            emptied.map_err(|it| database.wrong(it))?;
        }
        let inserted = table.insert(question, &row[..]);
        inserted.map_err(|it| database.wrong(it))?;
    }
    commit(database, write)
}
