use secrecy::SecretString;

/// What a key needs besides its value, where a provider wants more: Bifrost's `…_key_config` objects.
#[derive(Clone, Debug, Default)]
pub enum KeyAccess {
    /// Nothing.
    #[default]
    Plain,
    /// A server of its own: `vllm_key_config`, `ollama_key_config`, `sgl_key_config`.
    Server {
        /// Where it is, in place of the provider's `base_url`.
        url: String,
    },
    /// `azure_key_config`.
    Azure {
        /// The resource's endpoint, `https://NAME.openai.azure.com`, in place of the provider's `base_url`.
        endpoint: Option<String>,
        /// A dated version for paths with a deployment, `v1` for those without; none means the default.
        api_version: Option<String>,
    },
    /// `vertex_key_config`.
    Vertex {
        /// The project.
        project_id: String,
        /// The region, or `global`.
        region: String,
        /// The JSON of a service account; none means the identity of the machine.
        auth_credentials: Option<SecretString>,
    },
    /// `bedrock_key_config`.
    Bedrock {
        /// The access key's id; none where the key's value is a Bedrock API key.
        access_key: Option<SecretString>,
        /// The secret access key.
        secret_key: Option<SecretString>,
        /// For temporary credentials.
        session_token: Option<SecretString>,
        /// The region.
        region: Option<String>,
        /// Put before the name of a model that has an alias: what the ARNs of inference profiles begin with.
        arn: Option<String>,
    },
}

impl KeyAccess {
    /// The address that the key belongs to, where it has one of its own.
    pub fn base_url(&self) -> Option<&str> {
        match self {
            Self::Server { url } => Some(url),
            Self::Azure { endpoint, .. } => endpoint.as_deref(),
            Self::Plain | Self::Vertex { .. } | Self::Bedrock { .. } => None,
        }
    }

    /// The address of its region, where the provider has one for each and nobody has configured another.
    pub fn regional_url(&self) -> Option<String> {
        match self {
            // <https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations>
            Self::Vertex { region, .. } => match region.as_str() {
                "global" => None,
                "us" | "eu" => Some(format!("https://aiplatform.{region}.rep.googleapis.com")),
                _ => Some(format!("https://{region}-aiplatform.googleapis.com")),
            },
            // <https://docs.aws.amazon.com/general/latest/gr/bedrock.html>
            Self::Bedrock { region: Some(region), .. } => {
                let china = if region.starts_with("cn-") { ".cn" } else { "" };
                Some(format!("https://bedrock-runtime.{region}.amazonaws.com{china}"))
            }
            Self::Plain | Self::Server { .. } | Self::Azure { .. } | Self::Bedrock { region: None, .. } => {
                None
            }
        }
    }

    /// What of it nobody may see.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let secrets = match self {
            Self::Plain | Self::Server { .. } | Self::Azure { .. } => [None, None, None],
            Self::Vertex { auth_credentials, .. } => [auth_credentials.as_ref(), None, None],
            Self::Bedrock { access_key, secret_key, session_token, .. } => {
                [access_key.as_ref(), secret_key.as_ref(), session_token.as_ref()]
            }
        };
        secrets.into_iter().flatten()
    }
}
