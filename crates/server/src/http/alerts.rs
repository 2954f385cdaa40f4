//! Rules, channels and notices: when somebody is called, where, and what became of it.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use engine::{AlertError, RuleInfo, Scope, Told};
use event::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::issues::{beside, sent};
use super::openapi::shapes;
use super::problem::Problem;
use super::{Doors, auth};
use crate::notify::{self, Channel};

/// Notices of one page, if nobody says how many, and at the most.
const NOTICES: usize = 50;
const NOTICES_MAX: usize = 500;

/// How far a rule looks back if nobody says since when.
const DAY_MICROS: i64 = 86_400_000_000;

impl From<AlertError> for Problem {
    fn from(error: AlertError) -> Self {
        let detail = error.to_string();
        match error {
            AlertError::Setting(_) | AlertError::Refused(_) => {
                Self::new(StatusCode::BAD_REQUEST, "alert_setting", detail)
            }
            AlertError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown_alert", detail),
            AlertError::Unchanged { .. } => Self::new(StatusCode::NOT_FOUND, "unchanged_alert", detail),
            AlertError::InFile { .. } => Self::new(StatusCode::CONFLICT, "in_file", detail),
            AlertError::Write(error) => error.into(),
            AlertError::Ask(error) => error.into(),
            AlertError::Store(error) => error.into(),
        }
    }
}

fn rule_json(info: &RuleInfo) -> Value {
    let states: Vec<Value> = info
        .states
        .iter()
        .map(|(group, state)| json!({ "group": group, "state": state.phase, "since": state.since.map(|since| since.to_string()), "value": state.value }))
        .collect();
    json!({ "name": info.rule.name, "in_file": info.in_file, "built_in": info.built_in,
        "settings": info.rule.written(), "states": states, "warnings": info.warnings })
}

/// `GET /api/v1/rules`.
#[utoipa::path(get, path = "/api/v1/rules", tag = "alerts", operation_id = "rules", summary = "List the rules, and where they stand",
    responses((status = 200, description = "Built-in ones too", body = Vec<shapes::Rule>)))]
pub(crate) async fn rules(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, None)?;
    let rules = beside(&doors, engine::Engine::rules).await?;
    Ok(Json(rules.iter().map(rule_json).collect()))
}

/// `GET /api/v1/rules/{name}`.
#[utoipa::path(get, path = "/api/v1/rules/{name}", tag = "alerts", operation_id = "rule", summary = "One rule",
    params(("name" = String, Path, description = "Name of a rule", example = "new_issue")),
    responses((status = 200, description = "The rule", body = shapes::Rule)))]
pub(crate) async fn rule(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, None)?;
    shown_rule(&doors, name).await
}

async fn shown_rule(doors: &Doors, name: String) -> Result<Json<Value>, Problem> {
    let rules = beside(doors, engine::Engine::rules).await?;
    let names: Vec<&str> = rules.iter().map(|info| info.rule.name.as_str()).collect();
    match rules.iter().find(|info| info.rule.name == name) {
        Some(info) => Ok(Json(rule_json(info))),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_alert",
            format!("there is no rule {name:?}: there are {}", names.join(", ")),
        )),
    }
}

/// `PUT /api/v1/rules/{name}`: makes a rule, or changes one, a built-in one by its name.
#[utoipa::path(put, path = "/api/v1/rules/{name}", tag = "alerts", operation_id = "put_rule", summary = "Set a rule",
    params(("name" = String, Path, description = "Name of a rule", example = "failed_payments")),
    request_body(content = Value, example = json!({ "search": "event:payment_failed", "window": "5m", "threshold": 10, "channels": ["ops"] })),
    responses((status = 200, description = "The rule", body = shapes::Rule)))]
pub(crate) async fn put_rule(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let by = auth::require(&doors, &parts, Scope::Admin, None)?;
    let settings: Value = sent(&doors, &parts, body).await?;
    if !(settings.is_object() || settings == Value::Bool(false)) {
        return Err(Problem::bad_request(format!("a rule is an object, or false to switch it off; found {settings}")));
    }
    let asked = name.clone();
    beside(&doors, move |engine| engine.put_rule(&asked, settings, &by)).await?;
    shown_rule(&doors, name).await
}

/// `DELETE /api/v1/rules/{name}`: one of your own is gone, a built-in one is as it was.
#[utoipa::path(delete, path = "/api/v1/rules/{name}", tag = "alerts", operation_id = "remove_rule", summary = "Remove a rule, or what was changed of a built-in one",
    params(("name" = String, Path, description = "Name of a rule", example = "failed_payments")),
    responses((status = 200, description = "It is gone", body = shapes::Removed)))]
pub(crate) async fn remove_rule(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let by = auth::require(&doors, &parts, Scope::Admin, None)?;
    let asked = name.clone();
    beside(&doors, move |engine| engine.remove_rule(&asked, &by)).await?;
    Ok(Json(json!({ "removed": name })))
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RuleTestBody {
    /// The settings of the rule; those that it has if there are none.
    settings: Option<Map<String, Value>>,
    /// From when; a day ago if nothing is said.
    from: Option<String>,
    /// Until when; now if nothing is said.
    to: Option<String>,
}

/// `POST /api/v1/rules/{name}/test`: what it would have said of the past.
#[utoipa::path(post, path = "/api/v1/rules/{name}/test", tag = "alerts", operation_id = "test_rule", summary = "Try a rule on the past",
    params(("name" = String, Path, description = "Name of a rule, also of one that is not there yet", example = "failed_payments")),
    request_body(content = Option<RuleTestBody>, example = json!({ "settings": { "search": "level:error", "threshold": 10 } })),
    responses((status = 200, description = "When it would have begun and ended", body = shapes::RuleTest)))]
pub(crate) async fn test_rule(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, None)?;
    let RuleTestBody { settings, from, to } = sent(&doors, &parts, body).await?;
    let moment = |name: &str, text: Option<String>, default: Timestamp| match text {
        None => Ok(default),
        Some(text) => Timestamp::parse(&text).map(|(time, _)| time).ok_or_else(|| {
            Problem::bad_request(format!("{name} is a moment such as 2026-01-02T03:04:05Z, found {text:?}"))
        }),
    };
    let to = moment("to", to, doors.engine.now())?;
    let from = moment("from", from, Timestamp::from_micros(to.as_micros().saturating_sub(DAY_MICROS)))?;
    let settings = match settings {
        Some(settings) => settings,
        None => match shown_rule(&doors, name.clone()).await?.0["settings"].take() {
            Value::Object(settings) => settings,
            _ => Map::new(),
        },
    };
    let told = beside(&doors, move |engine| engine.try_rule(&name, &settings, (from, to))).await?;
    Ok(Json(json!({ "from": from.to_string(), "to": to.to_string(), "told": told })))
}

/// What an answer shows beside the settings, and may be sent back.
const BESIDE: [&str; 3] = ["in_file", "warnings", "trouble"];

fn channel_json(engine: &engine::Engine, channel: &Channel, in_file: bool) -> Result<Value, AlertError> {
    let mut shown = channel.shown();
    shown["name"] = channel.name.clone().into();
    shown["in_file"] = in_file.into();
    shown["warnings"] = engine.channel_warnings(&channel.name)?.into();
    let trouble = engine.channel_trouble(&channel.name)?;
    shown["trouble"] = trouble.map_or(Value::Null, |trouble| {
        let state = if trouble.is_broken { "broken" } else { "retrying" };
        json!({ "state": state, "since": trouble.since.to_string(), "reason": channel.conceal(&trouble.reason) })
    });
    Ok(shown)
}

/// `GET /api/v1/channels`.
#[utoipa::path(get, path = "/api/v1/channels", tag = "alerts", operation_id = "channels", summary = "List the channels",
    responses((status = 200, description = "Without their secrets", body = Vec<shapes::Channel>)))]
pub(crate) async fn channels(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, None)?;
    let shown = beside(&doors, |engine| {
        let channels = engine.channels()?.into_iter().filter_map(|(name, (settings, in_file))| {
            Some((Channel::parse(&name, &Value::Object(settings), None).ok()?, in_file))
        });
        channels.map(|(channel, in_file)| channel_json(engine, &channel, in_file)).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    Ok(Json(shown.into()))
}

/// A channel as it is set up, and whether that is in the file.
pub(crate) fn find_channel(engine: &engine::Engine, name: &str) -> Result<Option<(Channel, bool)>, AlertError> {
    let mut channels = engine.channels()?;
    let Some((settings, in_file)) = channels.remove(name) else { return Ok(None) };
    let channel = Channel::parse(name, &Value::Object(settings), None)
        .map_err(|error| AlertError::Refused(format!("channel {name}: {error:#}")))?;
    Ok(Some((channel, in_file)))
}

async fn known_channel(doors: &Doors, name: &str) -> Result<(Channel, bool), Problem> {
    let asked = name.to_owned();
    let found = beside(doors, move |engine| find_channel(engine, &asked)).await?;
    found.ok_or_else(|| {
        let detail = format!("there is no channel {name:?}: PUT /api/v1/channels/{name} makes one");
        Problem::new(StatusCode::NOT_FOUND, "unknown_alert", detail)
    })
}

/// `GET /api/v1/channels/{name}`.
#[utoipa::path(get, path = "/api/v1/channels/{name}", tag = "alerts", operation_id = "channel", summary = "One channel",
    params(("name" = String, Path, description = "Name of a channel", example = "ops")),
    responses((status = 200, description = "Without its secrets", body = shapes::Channel)))]
pub(crate) async fn channel(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Read, None)?;
    let (channel, in_file) = known_channel(&doors, &name).await?;
    Ok(Json(beside(&doors, move |engine| channel_json(engine, &channel, in_file)).await?))
}

/// `PUT /api/v1/channels/{name}`: makes a channel, or changes one.
#[utoipa::path(put, path = "/api/v1/channels/{name}", tag = "alerts", operation_id = "put_channel", summary = "Set a channel",
    params(("name" = String, Path, description = "Name of a channel", example = "ops")),
    request_body(content = Value, example = json!({ "kind": "slack", "url": "https://hooks.slack.com/services/T/B/X" })),
    responses((status = 200, description = "The channel, without its secrets", body = shapes::Channel)))]
pub(crate) async fn put_channel(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, body) = request.into_parts();
    let by = auth::require(&doors, &parts, Scope::Admin, None)?;
    let mut settings: Value = sent(&doors, &parts, body).await?;
    if let Some(settings) = settings.as_object_mut() {
        for key in BESIDE {
            settings.shift_remove(key);
        }
    }
    let asked = name.clone();
    let before = beside(&doors, move |engine| find_channel(engine, &asked)).await?.map(|(channel, _)| channel);
    let channel = Channel::parse(&name, &settings, before.as_ref())
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "alert_setting", format!("{error:#}")))?;
    let kept = match channel.kept() {
        Value::Object(kept) => kept,
        _ => Map::new(),
    };
    let shown = beside(&doors, move |engine| {
        engine.put_channel(&name, kept, &by)?;
        channel_json(engine, &channel, false)
    });
    Ok(Json(shown.await?))
}

/// `DELETE /api/v1/channels/{name}`.
#[utoipa::path(delete, path = "/api/v1/channels/{name}", tag = "alerts", operation_id = "remove_channel", summary = "Remove a channel",
    params(("name" = String, Path, description = "Name of a channel", example = "ops")),
    responses((status = 200, description = "It is gone", body = shapes::Removed)))]
pub(crate) async fn remove_channel(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let by = auth::require(&doors, &parts, Scope::Admin, None)?;
    let asked = name.clone();
    beside(&doors, move |engine| engine.remove_channel(&asked, &by)).await?;
    Ok(Json(json!({ "removed": name })))
}

/// `POST /api/v1/channels/{name}/test`: sends a notice that says it is a test, at once, and waits for the answer.
#[utoipa::path(post, path = "/api/v1/channels/{name}/test", tag = "alerts", operation_id = "test_channel", summary = "Try a channel",
    params(("name" = String, Path, description = "Name of a channel", example = "ops")),
    responses((status = 200, description = "It arrived", body = shapes::ChannelTest)))]
pub(crate) async fn test_channel(
    State(doors): State<Doors>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    auth::require(&doors, &parts, Scope::Admin, None)?;
    let (channel, _) = known_channel(&doors, &name).await?;
    let notice = doors.engine.test_notice(&name);
    let message = notify::written(&channel, &notice, Vec::new(), doors.engine.now());
    match doors.transport.deliver(&channel, &message).await {
        Ok(delivered) => {
            beside(&doors, move |engine| engine.channel_mended(&name)).await?;
            Ok(Json(json!({ "sent": true, "answer": delivered.answer,
            "missed": delivered.missed.iter().map(|missed| json!({ "address": missed.address, "reason": missed.reason })).collect::<Vec<_>>() })))
        }
        Err(failed) => {
            let mut problem = Problem::new(StatusCode::BAD_GATEWAY, "not_delivered", failed.reason);
            problem.members = json!({ "permanent": failed.permanent }).as_object().cloned().map(Box::new);
            Err(problem)
        }
    }
}

fn told_json(told: &Told) -> Value {
    let deliveries: Vec<Value> = told
        .deliveries
        .iter()
        .map(|delivery| {
            let kept: Value = serde_json::from_str(&delivery.body).unwrap_or_default();
            let key = if delivery.state == "waiting" { "next_attempt" } else { "ended" };
            json!({ "channel": delivery.channel, "state": delivery.state, key: delivery.due.to_string(),
                "attempts": kept["attempts"], "reason": kept["reason"], "answer": kept["answer"] })
        })
        .collect();
    json!({ "number": told.number, "notice": told.notice, "deliveries": deliveries })
}

/// `GET /api/v1/notices`: what was told, the latest first, and what became of it.
#[utoipa::path(get, path = "/api/v1/notices", tag = "alerts", operation_id = "notices", summary = "List the notices, and what became of them",
    params(("before" = Option<u64>, Query, description = "Only those before the notice of this number"),
        ("limit" = Option<usize>, Query, description = "How many, up to 500")),
    responses((status = 200, description = "The notices", body = Vec<shapes::NoticeTold>)))]
pub(crate) async fn notices(State(doors): State<Doors>, request: Request) -> Result<Json<Value>, Problem> {
    let (parts, _) = request.into_parts();
    let grant = auth::require(&doors, &parts, Scope::Read, None)?;
    let (mut before, mut limit) = (None, NOTICES);
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()) {
        match (&*name, value.parse::<u64>()) {
            ("before", Ok(number)) => before = Some(number),
            ("limit", Ok(number)) if number <= NOTICES_MAX as u64 => limit = usize::try_from(number).unwrap_or(NOTICES),
            ("before" | "limit", _) => {
                return Err(Problem::bad_request(format!(
                    "before and limit (up to {NOTICES_MAX}) are numbers, found {value:?}"
                )));
            }
            _ => return Err(Problem::bad_request(format!("unknown parameter {name:?}: there are before and limit"))),
        }
    }
    let told = beside(&doors, move |engine| engine.notices(before, limit)).await?;
    let seen = told.iter().filter(|told| told.notice.log.is_empty() || grant.may_read(&told.notice.log));
    Ok(Json(seen.map(told_json).collect()))
}
