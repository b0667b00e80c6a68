//! A ttrpc peer built on the crate ttrpc (async, as kata-agent and runtime-rs use it), for the interop
//! tests in ../../../ttrpc.test.ts.
//!
//!     peer serve SOCKET   serves interop.Peer until killed
//!     peer call SOCKET    reads one JSON command a line from standard input, prints one JSON outcome a line
//!
//! ../README.md describes the methods and the commands; the Go peer behaves the same.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use async_trait::async_trait;
use protobuf::well_known_types::wrappers::BytesValue;
use protobuf::{Enum, Message};
use serde_json::{json, Value};
use tokio::io::{AsyncBufReadExt, BufReader};
use ttrpc::r#async::{Client, MethodHandler, Server, Service, TtrpcContext};
use ttrpc::{context, get_status, Code, Error, Request, Response};

const SERVICE: &str = "interop.Peer";
/// The longest answer that an outcome shows as text.
const TEXT_LIMIT: usize = 1000;

static CANCELLED: AtomicI64 = AtomicI64::new(0);

type Outcome = Result<Vec<u8>, Error>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A method as a function of its context and of the bytes in its request message.
struct Method(fn(TtrpcContext, Vec<u8>) -> Running);

#[async_trait]
impl MethodHandler for Method {
    async fn handler(&self, ctx: TtrpcContext, req: Request) -> ttrpc::Result<Response> {
        let request = BytesValue::parse_from_bytes(&req.payload).map_err(others)?;
        let mut response = Response::new();
        match (self.0)(ctx, request.value).await {
            Ok(value) => {
                response.set_status(get_status(Code::OK, ""));
                response.payload = message(value)?;
            }
            Err(Error::RpcStatus(status)) => response.set_status(status),
            Err(error) => response.set_status(get_status(Code::UNKNOWN, format!("{error:?}"))),
        }
        Ok(response)
    }
}

fn others(error: impl ToString) -> Error {
    Error::Others(error.to_string())
}

fn message(value: Vec<u8>) -> Outcome {
    BytesValue { value, ..Default::default() }.write_to_bytes().map_err(others)
}

fn text(value: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(value).map_err(others)
}

fn echo(_: TtrpcContext, value: Vec<u8>) -> Running {
    Box::pin(async { Ok(value) })
}

fn size(_: TtrpcContext, value: Vec<u8>) -> Running {
    Box::pin(async { Ok(vec![b'z'; text(value)?.parse().map_err(others)?]) })
}

fn metadata(ctx: TtrpcContext, _: Vec<u8>) -> Running {
    Box::pin(async move {
        let mut lines: Vec<String> =
            ctx.metadata.iter().map(|(key, values)| format!("{key}={}", values.join(","))).collect();
        lines.sort();
        Ok(lines.join("\n").into_bytes())
    })
}

fn remaining(ctx: TtrpcContext, _: Vec<u8>) -> Running {
    Box::pin(async move {
        Ok(match ctx.timeout_nano {
            0 => b"none".to_vec(),
            nano => (nano / 1_000_000).to_string().into_bytes(),
        })
    })
}

/// Takes "<code> <text>".
fn fail(_: TtrpcContext, value: Vec<u8>) -> Running {
    Box::pin(async {
        let value = text(value)?;
        let (code, message) = value.split_once(' ').ok_or_else(|| others("no code"))?;
        let code = Code::from_i32(code.parse().map_err(others)?).ok_or_else(|| others("unknown code"))?;
        Err(Error::RpcStatus(get_status(code, message)))
    })
}

fn plain(_: TtrpcContext, value: Vec<u8>) -> Running {
    Box::pin(async { Err(Error::Others(text(value)?)) })
}

/// Counts a Wait that was given up: its future is dropped.
struct OnDrop;

impl Drop for OnDrop {
    fn drop(&mut self) {
        CANCELLED.fetch_add(1, Ordering::SeqCst);
    }
}

fn wait(_: TtrpcContext, _: Vec<u8>) -> Running {
    Box::pin(async {
        let _count = OnDrop;
        std::future::pending().await
    })
}

fn cancelled(_: TtrpcContext, _: Vec<u8>) -> Running {
    Box::pin(async { Ok(CANCELLED.load(Ordering::SeqCst).to_string().into_bytes()) })
}

async fn serve(socket: &str) -> ttrpc::Result<()> {
    let table: [(&str, Method); 8] = [
        ("Echo", Method(echo)),
        ("Size", Method(size)),
        ("Metadata", Method(metadata)),
        ("Remaining", Method(remaining)),
        ("Fail", Method(fail)),
        ("Plain", Method(plain)),
        ("Wait", Method(wait)),
        ("Cancelled", Method(cancelled)),
    ];
    let mut methods: HashMap<String, Box<dyn MethodHandler + Send + Sync>> = HashMap::new();
    for (name, method) in table {
        methods.insert(name.to_string(), Box::new(method));
    }
    let service = Service { methods, streams: HashMap::new() };
    let mut server = Server::new()
        .bind(&format!("unix://{socket}"))?
        .register_service(HashMap::from([(SERVICE.to_string(), service)]));
    server.start().await?;
    println!("listening");
    std::future::pending().await
}

async fn call(socket: &str) -> ttrpc::Result<()> {
    let mut client = Some(Client::connect(&format!("unix://{socket}")).await?);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.map_err(others)? {
        let command: Value = serde_json::from_str(&line).map_err(others)?;
        if command["close"] == true {
            // The crate has no close: dropping the last clone of the client ends the connection.
            client = None;
            println!("{}", json!({ "id": command["id"], "code": 0, "text": "", "size": 0, "matched": 0 }));
        } else if let Some(client) = client.clone() {
            tokio::spawn(async move { println!("{}", execute(client, command).await) });
        }
    }
    Ok(())
}

async fn execute(client: Client, command: Value) -> Value {
    let own_text = command["text"].as_str().unwrap_or_default();
    let count = command["count"].as_u64().unwrap_or(0);
    if count == 0 {
        let value = match command["size"].as_u64().unwrap_or(0) {
            0 => own_text.as_bytes().to_vec(),
            size => vec![b'z'; size as usize],
        };
        return outcome_of(&command, call_once(client, &command, value).await, 0);
    }
    let matched = Arc::new(AtomicI64::new(0));
    let shared = Arc::new(command.clone());
    let mut running = Vec::new();
    for i in 0..count {
        let (client, command, matched) = (client.clone(), shared.clone(), matched.clone());
        let value = format!("{own_text} {i}").into_bytes();
        running.push(tokio::spawn(async move {
            let answer = call_once(client, &command, value.clone()).await?;
            if answer == value {
                matched.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<(), Error>(())
        }));
    }
    let mut first_failure = Ok(Vec::new());
    for task in running {
        if let Ok(Err(error)) = task.await {
            if first_failure.is_ok() {
                first_failure = Err(error);
            }
        }
    }
    outcome_of(&command, first_failure, matched.load(Ordering::SeqCst))
}

async fn call_once(client: Client, command: &Value, value: Vec<u8>) -> Outcome {
    let mut pairs = HashMap::new();
    for (key, values) in command["metadata"].as_object().into_iter().flatten() {
        let values = values.as_array().into_iter().flatten();
        pairs.insert(key.clone(), values.filter_map(|v| v.as_str().map(String::from)).collect());
    }
    let request = Request {
        service: command["service"].as_str().unwrap_or(SERVICE).to_string(),
        method: command["method"].as_str().unwrap_or_default().to_string(),
        timeout_nano: command["timeoutMs"].as_i64().unwrap_or(0) * 1_000_000,
        metadata: context::to_pb(pairs),
        payload: message(value)?,
        ..Default::default()
    };
    let response = client.request(request).await?;
    Ok(BytesValue::parse_from_bytes(&response.payload).map_err(others)?.value)
}

fn outcome_of(command: &Value, outcome: Outcome, matched: i64) -> Value {
    let (code, text, size) = match outcome {
        Ok(answer) if answer.len() <= TEXT_LIMIT => {
            (0, String::from_utf8_lossy(&answer).into_owned(), answer.len())
        }
        Ok(answer) => (0, String::new(), answer.len()),
        Err(Error::RpcStatus(status)) => (status.code().value(), status.message().to_string(), 0),
        Err(error) => (-1, error.to_string(), 0),
    };
    json!({ "id": command["id"], "code": code, "text": text, "size": size, "matched": matched })
}

#[tokio::main]
async fn main() -> ttrpc::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1..).unwrap_or_default() {
        [mode, socket] if mode == "serve" => serve(socket).await,
        [mode, socket] if mode == "call" => call(socket).await,
        _ => Err(others("usage: peer serve|call SOCKET")),
    }
}
