//! Toleration of the agent's pod.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::invalid_value::InvalidValue;
use crate::metadata::{LabelValue, check_key};
use crate::value::text_value;

/// A taint that the agent's pod tolerates, written as for `kubectl taint`: `KEY=VALUE:EFFECT`. Without a value the pod
/// tolerates every value, without an effect every effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[^\\s=:]+(=[^\\s=:]*)?(:(NoSchedule|PreferNoSchedule|NoExecute))?$")))]
#[serde(try_from = "String", into = "String")]
pub struct Toleration {
    key: String,
    value: Option<LabelValue>,
    effect: Option<Effect>,
}

/// Effect of a taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    const ALL: [Self; 3] = [Self::NoSchedule, Self::PreferNoSchedule, Self::NoExecute];

    fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

impl Toleration {
    /// Key of the taint.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Value of the taint; `None` tolerates every value.
    pub fn value(&self) -> Option<&str> {
        self.value.as_ref().map(LabelValue::as_str)
    }

    /// Effect of the taint, as Kubernetes writes it; `None` tolerates every effect.
    pub fn effect(&self) -> Option<&'static str> {
        self.effect.map(Effect::as_str)
    }
}

impl FromStr for Toleration {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (taint, effect) = match text.split_once(':') {
            Some((taint, effect)) => (taint, Some(effect)),
            None => (text, None),
        };
        let effect = match effect {
            Some(word) => {
                let known = Effect::ALL.into_iter().find(|effect| effect.as_str() == word);
                Some(known.ok_or_else(|| {
                    let why = "the effects are NoSchedule, PreferNoSchedule and NoExecute";
                    InvalidValue::new("toleration", text, why)
                })?)
            }
            None => None,
        };
        let (key, value) = match taint.split_once('=') {
            Some((key, value)) => (key, Some(value.parse()?)),
            None => (taint, None),
        };
        check_key("toleration", key)?;
        Ok(Self {
            key: key.to_owned(),
            value,
            effect,
        })
    }
}

impl fmt::Display for Toleration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, "={value}")?;
        }
        if let Some(effect) = self.effect {
            write!(f, ":{}", effect.as_str())?;
        }
        Ok(())
    }
}

text_value!(Toleration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_is_written_as_for_kubectl_taint() {
        for (text, key, value, effect) in [
            (
                "dedicated=ci:NoSchedule",
                "dedicated",
                Some("ci"),
                Some("NoSchedule"),
            ),
            (
                "example.com/gpu:NoExecute",
                "example.com/gpu",
                None,
                Some("NoExecute"),
            ),
            ("dedicated=", "dedicated", Some(""), None),
            ("spot", "spot", None, None),
        ] {
            let read: Toleration = text.parse().unwrap();
            assert_eq!(
                (read.key(), read.value(), read.effect()),
                (key, value, effect),
                "{text}"
            );
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn an_invalid_toleration_is_refused() {
        for bad in [
            "",
            "=x",
            ":NoSchedule",
            "a:noschedule",
            "a=b c",
            "a b",
            "a=b:NoSchedule:NoExecute",
        ] {
            assert!(bad.parse::<Toleration>().is_err(), "{bad:?} was taken");
        }
    }
}
