//! Reads the folder `openapi`: each file of YAML as JSON, by its path without `.yaml`. What is wrong with one is found here.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use serde_json::{Map, Value};

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script so")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=openapi");
    let mut sources = Map::new();
    read(Path::new("openapi"), "", &mut sources)?;
    let target = Path::new(&env::var("OUT_DIR")?).join("openapi.json");
    Ok(fs::write(target, Value::Object(sources).to_string())?)
}

fn read(folder: &Path, prefix: &str, sources: &mut Map<String, Value>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or("a name that is no text")?;
        if path.is_dir() {
            read(&path, &format!("{prefix}{name}/"), sources)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let source = serde_norway::from_str(&fs::read_to_string(&path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            sources.insert(format!("{prefix}{name}"), source);
        }
    }
    Ok(())
}
