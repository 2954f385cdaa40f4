//! The ten questions in the words of the peers.

use bench::{NEEDLE, PART, PATH_START, TWO_WORDS};

use super::super::{Run, questions};

/// Who is asked.
#[derive(Clone, Copy)]
pub(super) enum Dialect {
    Postgres,
    ClickHouse,
    DuckDb,
}

/// One question.
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) sql: String,
    /// How many rows the right answer has.
    pub(super) rows: usize,
}

impl Dialect {
    pub(super) fn engine(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::ClickHouse => "chdb",
            Self::DuckDb => "duckdb",
        }
    }

    /// Whether the message has the word that occurs once.
    fn has_needle(self) -> String {
        match self {
            Self::Postgres => format!("to_tsvector('simple', message) @@ phraseto_tsquery('simple', '{NEEDLE}')"),
            // An underscore ends a token there.
            Self::ClickHouse => format!("hasToken(message, 'needle') AND position(message, '{NEEDLE}') > 0"),
            Self::DuckDb => format!("contains(message, '{NEEDLE}')"),
        }
    }

    fn has_two_words(self) -> String {
        let [first, second] = TWO_WORDS;
        match self {
            Self::Postgres => format!("to_tsvector('simple', message) @@ to_tsquery('simple', '{first} & {second}')"),
            Self::ClickHouse => format!("hasToken(message, '{first}') AND hasToken(message, '{second}')"),
            Self::DuckDb => {
                [first, second].map(|word| format!("' ' || message || ' ' LIKE '% {word} %'")).join(" AND ")
            }
        }
    }

    fn ten_minutes(self) -> &'static str {
        match self {
            Self::Postgres => r#"date_bin('10 minutes', "timestamp", timestamptz '2026-01-01T00:00:00Z')"#,
            Self::ClickHouse => r#"toStartOfInterval("timestamp", INTERVAL 10 MINUTE)"#,
            Self::DuckDb => r#"time_bucket(INTERVAL '10 minutes', "timestamp")"#,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Postgres => "status / 100",
            Self::ClickHouse => "intDiv(status, 100)",
            Self::DuckDb => "status // 100",
        }
    }

    fn percentiles(self) -> &'static str {
        match self {
            Self::Postgres => "percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_ms)",
            Self::ClickHouse => "quantiles(0.5, 0.95, 0.99)(duration_ms)",
            Self::DuckDb => "approx_quantile(duration_ms, [0.5, 0.95, 0.99])",
        }
    }
}

/// All questions that count for the mean.
pub(super) fn questions(run: &Run, dialect: Dialect) -> Vec<Question> {
    let day = &run.day;
    let newest = |condition: String, limit: usize| {
        format!(r#"SELECT * FROM bench WHERE {condition} ORDER BY "timestamp" DESC LIMIT {limit}"#)
    };
    let sql = |name: &str| match name {
        "a" => "SELECT count(*) FROM bench".to_owned(),
        "b heavy" => newest(format!(r#""user" = '{}'"#, day.heavy_user()), 100),
        "b rare" => newest(format!(r#""user" = '{}'"#, day.rare_user()), 100),
        "c" => newest(format!("request_id = '{}'", day.some_request()), 100),
        "d" => newest(dialect.has_needle(), 50),
        "e" => newest(format!("stream = 'ERROR' AND {}", dialect.has_two_words()), 50),
        "f" => format!(
            "SELECT {}, {}, count(*) FROM bench GROUP BY 1, 2 ORDER BY 1, 2",
            dialect.ten_minutes(),
            dialect.class()
        ),
        "g" => r#"SELECT "user", count(*) FROM bench GROUP BY 1 ORDER BY 2 DESC LIMIT 20"#.to_owned(),
        "h" => format!("SELECT event, {} FROM bench GROUP BY event ORDER BY event", dialect.percentiles()),
        "i" => newest(format!("message LIKE '%{PART}%'"), 50),
        _ => newest(format!("status >= 500 AND path LIKE '{PATH_START}%'"), 100),
    };
    let counting = questions::all(day).into_iter().filter(|question| question.counts);
    counting
        .map(|question| Question { name: question.name, sql: sql(question.name), rows: question.rows(day) })
        .collect()
}
