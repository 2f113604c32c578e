//! Requests and limits of the agent's container, and the bounds that a namespace sets for them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A quantity of Kubernetes in thousandths of its unit: of a CPU, or of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(u64);

const MEBIBYTE: u64 = 1 << 20;

impl Amount {
    const fn cpu(thousandths: u64) -> Self {
        Self(thousandths)
    }

    const fn mebibytes(count: u64) -> Self {
        Self(count * MEBIBYTE * 1000)
    }

    /// Parses a quantity, rounding up (`apimachinery/pkg/api/resource`). `None` if it is none, or too large to count.
    fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() > 18 {
            return None;
        }
        let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
        // The value in thousandths is digits * multiplier / divisor.
        let (multiplier, divisor): (u128, u128) = match suffix {
            "n" => (1, 1_000_000),
            "u" => (1, 1000),
            "m" => (1, 1),
            "" => (1000, 1),
            "k" => (1_000_000, 1),
            "M" => (1_000_000_000, 1),
            "G" => (1_000_000_000_000, 1),
            "T" => (1_000_000_000_000_000, 1),
            "Ki" => (1000 << 10, 1),
            "Mi" => (1000 << 20, 1),
            "Gi" => (1000 << 30, 1),
            "Ti" => (1000 << 40, 1),
            exponent => {
                let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
                (10u128.checked_pow(power)?.checked_mul(1000)?, 1)
            }
        };
        let divisor = divisor.checked_mul(10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
        let thousandths = digits.checked_mul(multiplier)?.div_ceil(divisor);
        u64::try_from(thousandths).ok().map(Self)
    }

    /// Returns the smallest part of this amount of which it is no more than `ratio` times.
    fn divided_by(self, ratio: Self) -> Self {
        let scaled = u128::from(self.0) * 1000;
        let part = scaled.div_ceil(u128::from(ratio.0.max(1)));
        Self(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

/// Resource of a container that a namespace may count or bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    Cpu,
    Memory,
    EphemeralStorage,
}

impl Resource {
    const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::EphemeralStorage];

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral-storage",
        }
    }

    /// Returns the words that follow an amount of it.
    fn words(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "of memory",
            Self::EphemeralStorage => "of ephemeral storage",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }

    /// Request of an agent where nothing bounds it.
    fn request(self) -> Amount {
        match self {
            Self::Cpu => Amount::cpu(10),
            Self::Memory => Amount::mebibytes(16),
            Self::EphemeralStorage => Amount::mebibytes(1),
        }
    }

    /// Limit of an agent, where it has one.
    fn limit(self) -> Amount {
        match self {
            Self::Cpu => Amount::cpu(1000),
            Self::Memory => Amount::mebibytes(128),
            Self::EphemeralStorage => Amount::mebibytes(16),
        }
    }

    /// Least limit with which an agent works: its program is in memory.
    fn least(self) -> Amount {
        match self {
            Self::Cpu => Amount::cpu(10),
            Self::Memory => Amount::mebibytes(24),
            Self::EphemeralStorage => Amount::mebibytes(1),
        }
    }

    fn quantity(self, amount: Amount) -> Quantity {
        let units = amount.0.div_ceil(1000);
        Quantity(match self {
            Self::Cpu if amount.0.is_multiple_of(1000) => units.to_string(),
            Self::Cpu => format!("{}m", amount.0),
            Self::Memory | Self::EphemeralStorage if units.is_multiple_of(MEBIBYTE) => {
                format!("{}Mi", units / MEBIBYTE)
            }
            Self::Memory | Self::EphemeralStorage => units.to_string(),
        })
    }
}

/// What a namespace demands of one resource of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bounds {
    /// A limit must be set.
    limit: bool,
    /// Least request and limit.
    min: Option<Amount>,
    /// Largest request and limit.
    max: Option<Amount>,
    /// Largest limit in requests, in thousandths.
    ratio: Option<Amount>,
}

/// What a namespace demands of the resources of a container, as far as its refusals have told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Demands {
    cpu: Bounds,
    memory: Bounds,
    ephemeral_storage: Bounds,
}

impl Demands {
    /// Adds the demand for a limit.
    pub(super) fn limit(&mut self, resource: Resource) {
        self.of_mut(resource).limit = true;
    }

    /// Adds what the message of a LimitRange's refusal says (`plugin/pkg/admission/limitranger`): a minimum, a maximum or
    /// a ratio, and often several of them.
    pub(super) fn learn(&mut self, message: &str) {
        let words: Vec<&str> = message
            .split_whitespace()
            .map(|word| word.trim_matches(['[', ']', ',', '.', ';']))
            .collect();
        for (at, window) in words.windows(5).enumerate() {
            let ["usage" | "ratio", "per", _, "is", amount] = window else {
                continue;
            };
            let before = |count: usize| at.checked_sub(count).and_then(|at| words.get(at).copied());
            let Some(amount) = Amount::parse(amount) else {
                continue;
            };
            let (kind, resource) = match window.first() {
                Some(&"usage") => (before(2), before(1)),
                // `memory max limit to request ratio per Container is 2`
                _ => (Some("ratio"), before(5)),
            };
            let Some(resource) = resource.and_then(Resource::named) else {
                continue;
            };
            let bounds = self.of_mut(resource);
            match kind {
                Some("minimum") => bounds.min = bounds.min.max(Some(amount)),
                Some("maximum") => bounds.max = Some(bounds.max.map_or(amount, |max| max.min(amount))),
                Some("ratio") => bounds.ratio = Some(bounds.ratio.map_or(amount, |ratio| ratio.min(amount))),
                Some(_) | None => {}
            }
        }
    }

    /// Whether an agent works within these bounds.
    pub(super) fn can_be_met(&self) -> bool {
        Resource::ALL.into_iter().all(|resource| {
            let Bounds { min, max, .. } = self.of(resource);
            max.is_none_or(|max| max >= resource.least() && min.is_none_or(|min| min <= max))
        })
    }

    /// Returns requests and limits that meet the demands.
    ///
    /// The agent has no CPU limit where none is demanded, because throttling would slow every stream.
    pub(super) fn met(&self) -> ResourceRequirements {
        let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
        for resource in Resource::ALL {
            let bounds = self.of(resource);
            if resource == Resource::EphemeralStorage && *bounds == Bounds::default() {
                continue;
            }
            let (request, limit) = bounds.met(resource);
            requests.insert(resource.name().to_owned(), resource.quantity(request));
            if let Some(limit) = limit {
                limits.insert(resource.name().to_owned(), resource.quantity(limit));
            }
        }
        ResourceRequirements {
            requests: Some(requests),
            limits: Some(limits),
            ..ResourceRequirements::default()
        }
    }

    /// Returns the requests and limits that meet the demands, in words.
    pub(super) fn in_words(&self) -> String {
        let ResourceRequirements { requests, limits, .. } = self.met();
        let list = |amounts: Option<BTreeMap<String, Quantity>>| {
            let amounts = amounts.unwrap_or_default();
            let words = Resource::ALL.into_iter().filter_map(|resource| {
                let amount = amounts.get(resource.name())?;
                Some(format!("{} {}", amount.0, resource.words()))
            });
            words.collect::<Vec<_>>().join(", ")
        };
        format!("requests of {}, and limits of {}", list(requests), list(limits))
    }

    fn of(&self, resource: Resource) -> &Bounds {
        match resource {
            Resource::Cpu => &self.cpu,
            Resource::Memory => &self.memory,
            Resource::EphemeralStorage => &self.ephemeral_storage,
        }
    }

    fn of_mut(&mut self, resource: Resource) -> &mut Bounds {
        match resource {
            Resource::Cpu => &mut self.cpu,
            Resource::Memory => &mut self.memory,
            Resource::EphemeralStorage => &mut self.ephemeral_storage,
        }
    }
}

impl Bounds {
    /// Returns request and limit of a resource. Within a ratio the request grows: a lower limit would end an agent with
    /// many connections.
    fn met(&self, resource: Resource) -> (Amount, Option<Amount>) {
        let has_limit = resource != Resource::Cpu || self.limit || self.max.is_some() || self.ratio.is_some();
        let within = |amount: Amount| {
            let amount = self.max.map_or(amount, |max| amount.min(max));
            self.min.map_or(amount, |min| amount.max(min))
        };
        let limit = has_limit.then(|| within(resource.limit()));
        let mut request = within(resource.request());
        if let (Some(limit), Some(ratio)) = (limit, self.ratio) {
            request = request.max(limit.divided_by(ratio)).min(limit);
        }
        (request, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(message: &str) -> String {
        let mut demands = Demands::default();
        demands.learn(message);
        let resources = demands.met();
        let text = |amounts: Option<BTreeMap<String, Quantity>>| {
            let amounts = amounts.unwrap().into_iter();
            let words: Vec<String> = amounts
                .map(|(name, amount)| format!("{name}={}", amount.0))
                .collect();
            words.join(" ")
        };
        format!("{} / {}", text(resources.requests), text(resources.limits))
    }

    #[test]
    fn an_agent_asks_for_little() {
        assert_eq!(met(""), "cpu=10m memory=16Mi / memory=128Mi");
    }

    #[test]
    fn requests_and_limits_are_said_in_words() {
        let mut demands = Demands::default();
        assert_eq!(
            demands.in_words(),
            "requests of 10m CPU, 16Mi of memory, and limits of 128Mi of memory"
        );
        demands.limit(Resource::Cpu);
        demands.limit(Resource::EphemeralStorage);
        assert_eq!(
            demands.in_words(),
            "requests of 10m CPU, 16Mi of memory, 1Mi of ephemeral storage, and limits of 1 CPU, 128Mi of memory, 16Mi of \
             ephemeral storage"
        );
    }

    #[test]
    fn each_bound_of_a_limit_range_is_met() {
        for (message, expected) in [
            (
                "pods \"x\" is forbidden: minimum cpu usage per Container is 50m, but request is 10m",
                "cpu=50m memory=16Mi / memory=128Mi",
            ),
            (
                "maximum memory usage per Container is 64Mi, but limit is 128Mi",
                "cpu=10m memory=16Mi / memory=64Mi",
            ),
            (
                "memory max limit to request ratio per Container is 2, but provided ratio is 8.000000",
                "cpu=10m memory=64Mi / memory=128Mi",
            ),
            (
                "cpu max limit to request ratio per Pod is 4, but no limit is specified or limit is 0",
                "cpu=250m memory=16Mi / cpu=1 memory=128Mi",
            ),
            (
                "maximum cpu usage per Container is 500m.  No limit is specified",
                "cpu=10m memory=16Mi / cpu=500m memory=128Mi",
            ),
            (
                "minimum ephemeral-storage usage per Container is 2Mi.  No request is specified",
                "cpu=10m ephemeral-storage=2Mi memory=16Mi / ephemeral-storage=16Mi memory=128Mi",
            ),
            (
                "minimum memory usage per Container is 256Mi, but request is 16Mi",
                "cpu=10m memory=256Mi / memory=256Mi",
            ),
        ] {
            assert_eq!(met(message), expected, "{message}");
        }
    }

    #[test]
    fn several_bounds_of_one_refusal_are_met_together() {
        let message = "pods \"x\" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, \
                       maximum memory usage per Container is 64Mi, but limit is 128Mi, memory max limit to request \
                       ratio per Container is 2500m, but provided ratio is 8.000000]";
        // 64 MiB / 2.5, in bytes.
        assert_eq!(met(message), "cpu=50m memory=26843546 / memory=64Mi");
    }

    #[test]
    fn bounds_that_no_agent_meets_are_known() {
        for (message, can) in [
            (
                "maximum memory usage per Container is 64Mi, but limit is 128Mi",
                true,
            ),
            (
                "maximum memory usage per Container is 16Mi, but limit is 128Mi",
                false,
            ),
            (
                "[maximum cpu usage per Pod is 1, but x, minimum cpu usage per Pod is 2, but y]",
                false,
            ),
        ] {
            let mut demands = Demands::default();
            demands.learn(message);
            assert_eq!(demands.can_be_met(), can, "{message}");
        }
    }

    #[test]
    fn quantities_are_read_in_each_form() {
        for (text, thousandths) in [
            ("1", 1000),
            ("50m", 50),
            ("0.1", 100),
            ("1.5Gi", 1_610_612_736_000),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("1500u", 2),
        ] {
            assert_eq!(Amount::parse(text), Some(Amount(thousandths)), "{text}");
        }
        for none in [
            "",
            "x",
            "1x",
            "-1",
            "1.2.3",
            "99999999999999999999",
            "9e99",
            "9000000T",
        ] {
            assert_eq!(Amount::parse(none), None, "{none}");
        }
    }
}
