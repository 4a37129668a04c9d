//! Which of VRL's functions a program may use: those whose answer depends on their arguments alone.
//!
//! A range is applied again after a crash, perhaps a day later and on another machine, and must have the same
//! effect. So what reads a clock, a random number, a file, the environment or the network is refused, and so
//! is what may unpack a small record into unbounded memory.

use std::sync::OnceLock;

use vrl::compiler::function::{ArgumentList, Compiled, Example, FunctionCompileContext, Parameter, closure};
use vrl::compiler::{Function, TypeState};
use vrl::diagnostic::{DiagnosticMessage, Label};

/// A function of VRL that programs cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedFunction {
    /// Its name.
    pub name: &'static str,
    /// Why it is refused.
    pub why: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

const CLOCK: &str = "it reads the clock, so a record that is processed again would come out different";
const CLOCK_INSTEAD: &str = "take the time from a field of the record; keys have {$arrival:…}";
const RANDOM: &str = "its answer is random, so a record that is processed again would come out different";
const RANDOM_INSTEAD: &str = "derive the value from fields, with sha2 or xxhash; keys have {$id}";
const YEAR: &str = "it reads the clock for the year that such a line leaves out";
const YEAR_INSTEAD: &str = "use parse_regex and parse_timestamp with a format that has a year";
const HASH_ORDER: &str = "its answer depends on the order of a randomly seeded table";
const ENVIRONMENT: &str = "its answer depends on the machine that runs it";
const ENVIRONMENT_INSTEAD: &str = "write the value into the program";
const NETWORK: &str = "it talks to the network, so its answer changes and may never come";
const NETWORK_INSTEAD: &str = "put what it would look up into the record before it is sent";
const FILE: &str = "it reads a file of the machine that runs it";
const FILE_INSTEAD: &str = "check rows with the source's `schema`, and send records as JSON";
const UNBOUNDED: &str = "a small record could unpack to more than the memory there is";
const UNBOUNDED_INSTEAD: &str = "send the field as it is: requests may be compressed as a whole";

const fn refuse(name: &'static str, why: &'static str, instead: &'static str) -> RefusedFunction {
    RefusedFunction { name, why, instead }
}

/// Every function of VRL that programs cannot use, with the reason.
pub const REFUSED_FUNCTIONS: &[RefusedFunction] = &[
    refuse("now", CLOCK, CLOCK_INSTEAD),
    refuse("uuid_v7", CLOCK, RANDOM_INSTEAD),
    refuse("uuid_v4", RANDOM, RANDOM_INSTEAD),
    refuse("random_bool", RANDOM, RANDOM_INSTEAD),
    refuse("random_bytes", RANDOM, RANDOM_INSTEAD),
    refuse("random_float", RANDOM, RANDOM_INSTEAD),
    refuse("random_int", RANDOM, RANDOM_INSTEAD),
    refuse("parse_klog", YEAR, YEAR_INSTEAD),
    refuse("parse_linux_authorization", YEAR, YEAR_INSTEAD),
    refuse("parse_syslog", YEAR, YEAR_INSTEAD),
    refuse("parse_groks", YEAR, "use parse_grok, or parse_regex and parse_timestamp"),
    refuse("parse_cef", HASH_ORDER, "use parse_key_value or parse_regex"),
    refuse("shannon_entropy", HASH_ORDER, "compute it before the record is sent"),
    refuse("get_env_var", ENVIRONMENT, ENVIRONMENT_INSTEAD),
    refuse("get_hostname", ENVIRONMENT, ENVIRONMENT_INSTEAD),
    refuse("get_timezone_name", ENVIRONMENT, "times are UTC here; name another zone where you need one"),
    refuse("dns_lookup", NETWORK, NETWORK_INSTEAD),
    refuse("reverse_dns", NETWORK, NETWORK_INSTEAD),
    refuse("http_request", NETWORK, NETWORK_INSTEAD),
    refuse("parse_etld", FILE, "use parse_url and split"),
    refuse("parse_proto", FILE, FILE_INSTEAD),
    refuse("encode_proto", FILE, FILE_INSTEAD),
    refuse("validate_json_schema", FILE, FILE_INSTEAD),
    refuse("log", "it writes a line for every record", "use abort with a message: it reaches the dead letters"),
    refuse("decode_gzip", UNBOUNDED, UNBOUNDED_INSTEAD),
    refuse("decode_zlib", UNBOUNDED, UNBOUNDED_INSTEAD),
    refuse("decode_zstd", UNBOUNDED, UNBOUNDED_INSTEAD),
    refuse("decode_snappy", UNBOUNDED, UNBOUNDED_INSTEAD),
    refuse("decode_lz4", UNBOUNDED, UNBOUNDED_INSTEAD),
];

/// The functions whose `timezone` may be `local`, which is the machine's.
const WITH_TIMEZONE: &[&str] = &["format_timestamp", "parse_timestamp"];

/// The entry of a function that is refused.
pub(super) fn refused(name: &str) -> Option<&'static RefusedFunction> {
    REFUSED_FUNCTIONS.iter().find(|refused| refused.name == name)
}

/// The functions that programs may use.
pub(super) fn allowed() -> &'static [Box<dyn Function>] {
    static ALLOWED: OnceLock<Vec<Box<dyn Function>>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        let deterministic = vrl::stdlib::all().into_iter().filter(|function| refused(function.identifier()).is_none());
        deterministic
            .map(|function| {
                if WITH_TIMEZONE.contains(&function.identifier()) {
                    Box::new(NamedZone(function)) as _
                } else {
                    function
                }
            })
            .collect()
    })
}

/// A function whose `timezone`, where it has one, must be a name that stands in the program.
#[derive(Debug)]
struct NamedZone(Box<dyn Function>);

/// A `timezone` that depends on the machine, or may.
#[derive(Debug, thiserror::Error)]
#[error("the timezone must be a name that stands in the program, such as \"Europe/Berlin\"")]
struct ZoneOfTheMachine;

impl DiagnosticMessage for ZoneOfTheMachine {
    fn code(&self) -> usize {
        0
    }

    fn labels(&self) -> Vec<Label> {
        // The compiler puts the call's own place here.
        vec![Label::primary("`local` and a computed name would depend on the machine or the record", (0, 0))]
    }
}

impl Function for NamedZone {
    fn identifier(&self) -> &'static str {
        self.0.identifier()
    }

    fn summary(&self) -> &'static str {
        self.0.summary()
    }

    fn usage(&self) -> &'static str {
        self.0.usage()
    }

    fn category(&self) -> &'static str {
        self.0.category()
    }

    fn return_kind(&self) -> u16 {
        self.0.return_kind()
    }

    fn pure(&self) -> bool {
        self.0.pure()
    }

    fn examples(&self) -> &'static [Example] {
        self.0.examples()
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.0.parameters()
    }

    fn closure(&self) -> Option<closure::Definition> {
        self.0.closure()
    }

    fn compile(&self, state: &TypeState, ctx: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let named = match arguments.optional_literal("timezone", state) {
            Ok(None) => true,
            Ok(Some(zone)) => zone.to_str_lossy().is_some_and(|name| !name.is_empty() && name != "local"),
            Err(_) => false,
        };
        if named { self.0.compile(state, ctx, arguments) } else { Err(Box::new(ZoneOfTheMachine)) }
    }
}
