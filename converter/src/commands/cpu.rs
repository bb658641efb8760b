//! `bitat cpu`

use bitat_kernels::{Isa, Kernels};

use super::Context;
use crate::Error;
use crate::packed::{ISA_VARIABLE, kernels};
use crate::ui::{Align, Json, Table};

pub(super) fn run(context: &Context) -> Result<(), Error> {
    let used = kernels()?.isa();
    let sets = || Isa::ALL.into_iter().map(|isa| (isa, Kernels::new(isa).is_some()));
    let json = Json::object().with("isa", used.name()).with(
        "sets",
        Json::array(sets().map(|(isa, runs)| {
            Json::object().with("isa", isa.name()).with("runs", runs).with("needs", isa.needs())
        })),
    );
    let mut table =
        Table::new(&[("kernel set", Align::Left), ("here", Align::Left), ("needs", Align::Left)]);
    for (isa, runs) in sets() {
        let here = match runs {
            _ if isa == used => "used",
            true => "runs",
            false => "no",
        };
        table.row(&[isa.name().to_owned(), here.to_owned(), isa.needs().to_owned()]);
    }
    let why = match std::env::var(ISA_VARIABLE) {
        Ok(name) => format!("{ISA_VARIABLE}={name}"),
        Err(_) => format!("the best this processor has; {ISA_VARIABLE}=NAME forces another"),
    };
    context.finish(json, &format!("{table}\nused is {why}\n"))
}
