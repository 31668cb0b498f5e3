//! Numbers of another type than a statement has use for: upstream takes no integer or float for a decimal, and clients send what
//! their language has.

use bytes::Bytes;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::{Format, Portal};

/// Parameters with their formats, where integers and floats that stand for a `numeric` are one; `types` says so then.
pub(super) fn as_numerics<S: Clone>(
    portal: &Portal<S>,
    inferred: &[Type],
    types: &mut [Option<Type>],
) -> (Vec<Option<Bytes>>, Format) {
    let mut parameters = portal.parameters.clone();
    let binary = |at: usize| i16::from(portal.parameter_format.is_binary(at));
    let mut formats: Vec<i16> = (0..parameters.len()).map(binary).collect();
    for (at, kind) in types.iter_mut().enumerate().filter(|(at, _)| inferred.get(*at) == Some(&Type::NUMERIC)) {
        macro_rules! text {
            ($of:ty, $kind:expr) => {
                portal.parameter::<$of>(at, &$kind).map(|told| told.map(|number| number.to_string()))
            };
        }
        let text = match kind {
            Some(Type::INT2) => text!(i16, Type::INT2),
            Some(Type::INT4) => text!(i32, Type::INT4),
            Some(Type::INT8) => text!(i64, Type::INT8),
            Some(Type::FLOAT4) => text!(f32, Type::FLOAT4),
            Some(Type::FLOAT8) => text!(f64, Type::FLOAT8),
            _ => continue,
        };
        // What is no number is told of where it is read.
        let Ok(text) = text else { continue };
        (parameters[at], formats[at]) = (text.map(Bytes::from), 0);
        *kind = Some(Type::NUMERIC);
    }
    (parameters, Format::Individual(formats))
}
