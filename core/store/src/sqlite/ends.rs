//! Reads a table that may be damaged, in the order of its row numbers: from both ends up to the damage, and number by number between.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

/// Rows fetched at once.
const BATCH: i64 = 500;
/// Largest gap of row numbers that is tried one by one.
const GAP: i64 = 100_000;

/// A walk through a table.
pub(crate) struct Ends {
    columns: &'static str,
    table: &'static str,
    number: &'static str,
    /// All rows up to this one were read or tried.
    low: i64,
    stage: Stage,
    step: i64,
    /// What the engine said where it met the damage.
    pub damage: Option<sqlx::Error>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// From the lowest number up.
    Up,
    /// One by one below this number, from which on all can be read.
    Between(i64),
    /// The rest.
    Tail,
    Done,
}

impl Ends {
    /// `number` is the column of the row numbers; it must be the first of `columns`.
    pub(crate) fn new(columns: &'static str, table: &'static str, number: &'static str) -> Self {
        Ends { columns, table, number, low: 0, stage: Stage::Up, step: BATCH, damage: None }
    }

    /// The next rows; none when there are no more.
    pub(crate) async fn next(&mut self, conn: &mut SqliteConnection) -> Vec<SqliteRow> {
        loop {
            let (until, step) = match self.stage {
                Stage::Up | Stage::Tail => (i64::MAX, self.step),
                Stage::Between(high) if self.low.saturating_add(1) >= high => {
                    self.stage = Stage::Tail;
                    self.step = BATCH;
                    continue;
                }
                Stage::Between(_) => (self.low.saturating_add(2), 1),
                Stage::Done => return Vec::new(),
            };
            match (self.fetch(conn, "", self.low, until, step).await, self.stage) {
                (Ok(rows), Stage::Between(_)) => {
                    self.low = self.low.saturating_add(1);
                    if !rows.is_empty() {
                        return rows;
                    }
                }
                (Err(_), Stage::Between(_)) => self.low = self.low.saturating_add(1),
                (Ok(rows), Stage::Up | Stage::Tail | Stage::Done) => {
                    match rows.last().and_then(|row| row.try_get::<i64, _>(0).ok()) {
                        Some(last) => self.low = last,
                        None => self.stage = Stage::Done,
                    }
                    return rows;
                }
                (Err(_), Stage::Up) if step > 1 => self.step = 1,
                (Err(error), Stage::Up) => {
                    self.damage = Some(error);
                    let high = self.high(conn).await;
                    let gap = high.checked_sub(self.low).is_some_and(|gap| gap <= GAP);
                    self.stage = if gap { Stage::Between(high) } else { Stage::Tail };
                    if !gap {
                        // Too far apart to try each number: what lies behind the damage is still there.
                        self.low = high.saturating_sub(1);
                        self.step = BATCH;
                    }
                }
                (Err(_), Stage::Tail | Stage::Done) => self.stage = Stage::Done,
            }
        }
    }

    /// The lowest number from which on every row can be read.
    async fn high(&self, conn: &mut SqliteConnection) -> i64 {
        let (mut high, mut step) = (i64::MAX, BATCH);
        loop {
            match self.fetch(conn, " DESC", self.low, high, step).await {
                Ok(rows) => match rows.last().and_then(|row| row.try_get::<i64, _>(0).ok()) {
                    Some(last) => high = last,
                    None => return high,
                },
                Err(_) if step > 1 => step = 1,
                Err(_) => return high,
            }
        }
    }

    /// Rows between two numbers, without both.
    async fn fetch(
        &self,
        conn: &mut SqliteConnection,
        order: &'static str,
        low: i64,
        high: i64,
        limit: i64,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let Ends { columns, table, number, .. } = self;
        let sql = format!("SELECT {columns} FROM {table} WHERE {number} >= ? AND {number} < ? ORDER BY {number}{order} LIMIT ?");
        // Not `>`: the engine would look for the row before, which may be on the damaged page.
        sqlx::query(AssertSqlSafe(sql)).bind(low.saturating_add(1)).bind(high).bind(limit).fetch_all(conn).await
    }
}
