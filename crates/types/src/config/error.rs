use std::fmt;

/// One thing for which a configuration cannot be used. It never holds a value of the file, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is not JSON of the right shape.
    #[error("{path}: {message}")]
    Shape {
        /// The member at fault, as in `providers.openai.keys[1].weight`; line and column of what is not JSON.
        path: String,
        /// What was expected there.
        message: String,
    },
    /// It refers to an environment variable that is not set.
    #[error("{path}: the environment variable {name} is not set")]
    UnsetVariable {
        /// The member that refers to it.
        path: String,
        /// The variable.
        name: String,
    },
}

impl ConfigError {
    /// The member at fault.
    pub fn path(&self) -> &str {
        match self {
            Self::Shape { path, .. } | Self::UnsetVariable { path, .. } => path,
        }
    }
}

/// All for which a configuration cannot be used, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(out, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// `value`, if there are no errors.
    pub(super) fn none_of<T>(errors: Vec<ConfigError>, value: T) -> Result<T, Self> {
        if errors.is_empty() { Ok(value) } else { Err(Self(errors)) }
    }
}
