use super::rules::{FormRules, Rules};

/// <https://platform.openai.com/docs/api-reference/audio/createTranscription>
pub(super) const RULES: Rules =
    Rules::Form(FormRules { files: &["file"], missing: "file is required", param: "file", integers: &[] });
