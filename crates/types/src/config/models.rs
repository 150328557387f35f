use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of names: all of them, or those listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Models {
    /// `["*"]`.
    All,
    /// These and no others.
    Only(Vec<String>),
}

impl Models {
    /// None.
    pub const NONE: Self = Self::Only(Vec::new());

    /// Whether `name` is in the set.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|listed| listed == name),
        }
    }

    /// Those that are listed.
    pub fn names(&self) -> &[String] {
        match self {
            Self::All => &[],
            Self::Only(names) => names,
        }
    }
}

impl From<Vec<String>> for Models {
    fn from(names: Vec<String>) -> Self {
        if names.iter().any(|name| name == "*") { Self::All } else { Self::Only(names) }
    }
}

/// As it is written.
impl Serialize for Models {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => ["*"].serialize(serializer),
            Self::Only(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}
