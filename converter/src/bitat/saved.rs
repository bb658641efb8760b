//! The method's state as named arrays, for checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitat_graph::{Graph, NodeId};

use super::Options;
use super::aggregate::Groups;
use super::coordinates::Coordinates;
use super::layer::{Group, Layer, Rows};
use super::metric::Symmetric;
use crate::qat::stages::binary_layers;

/// Named arrays, as a checkpoint keeps them.
pub(super) type Arrays = [(String, Vec<f32>)];

const PREFIX: &str = "bitat ";
/// The group of each input dimension, where they are aggregated.
const MEMBERS: &str = "members";

fn name(node: NodeId, what: &str) -> String {
    format!("{PREFIX}{node} {what}")
}

/// The arrays of one layer: those of its groups, one behind the other.
pub(super) fn save(node: NodeId, layer: &mut Layer) -> Vec<(String, Vec<f32>)> {
    let mut arrays: Vec<(String, Vec<f32>)> = Vec::new();
    let mut add = |what, values: &[f32]| {
        let name = name(node, what);
        match arrays.iter_mut().find(|(n, _)| *n == name) {
            Some((_, array)) => array.extend_from_slice(values),
            None => arrays.push((name, values.to_vec())),
        }
    };
    for group in &mut layer.groups {
        if let Some(groups) = &group.metric.groups {
            let members: Vec<f32> = groups.of().iter().map(|g| *g as f32).collect();
            add(MEMBERS, &members);
        }
        fields(group).into_iter().for_each(|(what, values)| add(what, values));
    }
    arrays
}

/// The layers that have had their turn, from what [`save`] gave for them.
///
/// # Errors
/// What does not fit, for the user.
pub(super) fn restore(
    graph: &Graph,
    arrays: &Arrays,
    options: &Options,
) -> Result<Vec<(NodeId, Layer)>, String> {
    let mut ours: BTreeMap<&str, &[f32]> = BTreeMap::new();
    for (name, values) in arrays.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        ours.insert(name, values);
    }
    let mut layers = Vec::new();
    for node in binary_layers(graph) {
        let prefix = name(node, "");
        if ours.keys().any(|name| name.starts_with(&prefix)) {
            layers.push((node, layer(graph, node, &mut ours, options)?));
        }
    }
    match ours.keys().next() {
        Some(name) => Err(format!("its '{name}' is of no 1-bit layer of this network")),
        None => Ok(layers),
    }
}

/// One layer, out of its arrays.
fn layer(
    graph: &Graph,
    node: NodeId,
    arrays: &mut BTreeMap<&str, &[f32]>,
    options: &Options,
) -> Result<Layer, String> {
    let rows = Rows::of(graph, node);
    let mut take = |what: &str, len: usize| {
        let name = name(node, what);
        let array = arrays.remove(name.as_str()).ok_or(format!("it has no '{name}'"))?;
        match array.len() == len {
            true => Ok(array),
            false => {
                Err(format!("its '{name}' has {} numbers where the layer needs {len}", array.len()))
            }
        }
    };
    let d = rows.inputs;
    let aggregated = options.groups > 0 && d > options.groups;
    let k = if aggregated { options.groups } else { d };
    let mut groups = vec![
        Group {
            metric: Symmetric { groups: None, core: vec![0.0; k * k], rest: 0.0 },
            coordinates: options.trained.then(|| Coordinates::zeros(k)),
        };
        rows.groups
    ];
    let names: Vec<(&str, usize)> = match groups.first_mut() {
        Some(group) => fields(group).into_iter().map(|(name, field)| (name, field.len())).collect(),
        None => Vec::new(),
    };
    for (i, (what, len)) in names.into_iter().enumerate() {
        let values = take(what, len * rows.groups)?;
        for (group, values) in groups.iter_mut().zip(values.chunks_exact(len)) {
            fields(group)[i].1.copy_from_slice(values);
        }
    }
    if aggregated {
        let members = take(MEMBERS, d * rows.groups)?;
        for (group, members) in groups.iter_mut().zip(members.chunks_exact(d)) {
            let members = members.iter().map(|g| *g as usize).collect();
            let made = Groups::new(members, k).ok_or_else(|| {
                format!("its '{}' leaves a group empty or names one above {k}", name(node, MEMBERS))
            })?;
            let made = Some(Arc::new(made));
            if let Some(coordinates) = &mut group.coordinates {
                coordinates.transform.groups.clone_from(&made);
            }
            group.metric.groups = made;
        }
    }
    for coordinates in groups.iter_mut().filter_map(|g| g.coordinates.as_mut()) {
        coordinates.refresh();
    }
    Ok(Layer::new(rows, groups, options))
}

/// What is kept of one group, by name.
fn fields(group: &mut Group) -> Vec<(&'static str, &mut [f32])> {
    let rest = std::slice::from_mut(&mut group.metric.rest);
    let mut fields: Vec<(&str, &mut [f32])> =
        vec![("metric", &mut group.metric.core), ("rest of the metric", rest)];
    if let Some(coordinates) = &mut group.coordinates {
        fields.extend(coordinates.fields());
    }
    fields
}
