//! Argo CD's health check of a Pipeline, in the interpreter that Argo CD has: Lua 5.1 with the base, table and package
//! libraries alone. The cases are in the shape of Argo CD's own repository.
#![allow(clippy::unwrap_used, reason = "tests")]

use mlua::{Lua, LuaOptions, StdLib, Table};
use penstock_manifests::{documents, files, read};
use serde_json::Value;

const FOLDER: &str = "examples/argocd";

fn lua() -> Lua {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::PACKAGE, LuaOptions::default()).unwrap();
    // Lua's own base library brings it, Argo CD's interpreter does not.
    lua.globals().set("coroutine", mlua::Nil).unwrap();
    lua
}

/// As Argo CD hands an object over: maps and lists as tables, numbers as floats.
fn value(lua: &Lua, json: &Value) -> mlua::Value {
    match json {
        Value::Null => mlua::Value::Nil,
        Value::Bool(is) => mlua::Value::Boolean(*is),
        Value::Number(number) => mlua::Value::Number(number.as_f64().unwrap()),
        Value::String(text) => mlua::Value::String(lua.create_string(text).unwrap()),
        Value::Array(items) => {
            mlua::Value::Table(lua.create_sequence_from(items.iter().map(|item| value(lua, item))).unwrap())
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.as_str(), value(lua, field)));
            mlua::Value::Table(lua.create_table_from(fields).unwrap())
        }
    }
}

/// Status and message.
fn health(script: &str, object: &Value) -> (String, String) {
    let lua = lua();
    lua.globals().set("obj", value(&lua, object)).unwrap();
    let health: Table = lua.load(script).eval().unwrap();
    (health.get("status").unwrap(), health.get("message").unwrap())
}

fn object(file: &str) -> Value {
    documents(&read(format!("{FOLDER}/{file}")).unwrap()).unwrap().remove(0)
}

#[test]
fn each_state_has_the_health_that_its_case_says() {
    let script = read(format!("{FOLDER}/health.lua")).unwrap();
    let cases = object("health_test.yaml");
    for case in cases["tests"].as_array().unwrap() {
        let file = case["inputPath"].as_str().unwrap();
        let expected = &case["healthStatus"];
        let (status, message) = health(&script, &object(file));
        assert_eq!(status, expected["status"].as_str().unwrap(), "{file}");
        assert_eq!(message, expected["message"].as_str().unwrap(), "{file}");
    }
}

#[test]
fn every_state_has_a_case_and_every_health_occurs() {
    let cases = object("health_test.yaml");
    let cases = cases["tests"].as_array().unwrap();
    let named: Vec<_> = cases.iter().map(|case| format!("{FOLDER}/{}", case["inputPath"].as_str().unwrap())).collect();
    for file in files(&format!("{FOLDER}/testdata")).unwrap() {
        assert!(named.contains(&file.display().to_string()), "{} has no case", file.display());
    }
    for health in ["Healthy", "Progressing", "Degraded", "Suspended"] {
        assert!(cases.iter().any(|case| case["healthStatus"]["status"] == health), "no case is {health}");
    }
}

#[test]
fn the_states_use_only_reasons_that_the_operator_has() {
    let reasons = read("operator/src/report/conditions.rs").unwrap();
    for file in files(&format!("{FOLDER}/testdata")).unwrap() {
        let state = documents(&read(&file).unwrap()).unwrap().remove(0);
        for condition in state["status"]["conditions"].as_array().into_iter().flatten() {
            let reason = condition["reason"].as_str().unwrap();
            assert!(reasons.contains(&format!("\"{reason}\"")), "{}: there is no {reason}", file.display());
        }
    }
}

#[test]
fn the_interpreter_has_no_more_than_argo_cd_gives() {
    for absent in ["string", "math", "io", "os", "debug", "coroutine"] {
        let is_there: bool = lua().load(format!("return {absent} ~= nil")).eval().unwrap();
        assert!(!is_there, "{absent} should not be there");
    }
    assert_eq!(lua().load("return _VERSION").eval::<String>().unwrap(), "Lua 5.1");
}

#[test]
fn the_config_maps_hold_the_very_script_with_each_way_of_tracking() {
    let script = read(format!("{FOLDER}/health.lua")).unwrap();
    for tracking in ["annotation", "label"] {
        let map = object(&format!("argocd-cm-{tracking}.yaml"));
        assert_eq!(map["data"]["application.resourceTrackingMethod"], tracking);
        assert_eq!(map["data"]["resource.customizations.health.penstock.dev_Pipeline"], script.as_str(), "{tracking}");
    }
}
