//! Renderer of the icons from one SVG source.
//!
//! `icons/slipway.svg` has every part once. A [`Drawing`] selects parts and an ink, and is drawn at every size. The
//! results are committed, so that a build needs no renderer. `slipway-icons` calls [`draw_all`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// Sizes of the tray's icons, in pixels: those of panels, at scale 1 and 2.
pub const TRAY_SIZES: [u32; 6] = [16, 22, 24, 32, 48, 64];
/// Sizes of the app's icon, in pixels: those of menus, switchers and packages.
pub const APP_SIZES: [u32; 9] = [16, 22, 24, 32, 48, 64, 128, 256, 512];

/// The grid of the source, in pixels.
const GRID: f32 = 16.0;
/// Position of the glyph on the plate, with a margin on every side.
const ON_PLATE: &str = "translate(1.9 1.6) scale(.76)";
/// Every part of the source.
const PARTS: [&str; 9] = [
    "plate",
    "ramp",
    "water",
    "broken-water",
    "hull-on-land",
    "hull-half-way",
    "hull-afloat",
    "sail",
    "exclamation",
];

/// An icon: its parts, its ink, and the folder of its files.
#[derive(Clone, Copy, Debug)]
pub struct Drawing {
    folder: &'static str,
    name: Option<&'static str>,
    sizes: &'static [u32],
    parts: &'static [&'static str],
    ink: &'static str,
}

/// Every icon. A panel may be light or dark, and a program cannot ask which, so each ink has enough contrast with both
/// (a test checks it), and no two states differ only by ink.
pub const DRAWINGS: [Drawing; 6] = [
    tray("disconnected", &["ramp", "water", "hull-on-land"], "#808080"),
    tray("connecting", &["ramp", "water", "hull-half-way"], "#2f80d0"),
    tray("connected", &["ramp", "water", "hull-afloat", "sail"], "#17936a"),
    tray(
        "degraded",
        &["ramp", "broken-water", "hull-afloat", "sail"],
        "#b97600",
    ),
    tray(
        "attention",
        &["ramp", "water", "hull-afloat", "exclamation"],
        "#d5482a",
    ),
    Drawing {
        folder: "app",
        name: None,
        sizes: &APP_SIZES,
        parts: &["plate", "ramp", "water", "hull-afloat", "sail"],
        ink: "#ffffff",
    },
];

const fn tray(name: &'static str, parts: &'static [&'static str], ink: &'static str) -> Drawing {
    Drawing {
        folder: "tray",
        name: Some(name),
        sizes: &TRAY_SIZES,
        parts,
        ink,
    }
}

/// Error of drawing the icons.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source lacks a part of a drawing.
    #[error("the source has no part {0:?}")]
    NoPart(&'static str),
    /// The source is not SVG.
    #[error("the source is not valid SVG: {0}")]
    Source(#[from] resvg::usvg::Error),
    /// An icon could not be drawn.
    #[error("{0} could not be drawn")]
    Draw(String),
    /// The system refused a file operation.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path in the folder `icons`.
    pub path: PathBuf,
    /// The PNG.
    pub png: Vec<u8>,
}

/// Draws all icons from `icons/slipway.svg`, without writing them.
///
/// # Errors
/// See [`Error`].
pub fn draw_all(icons: &Path) -> Result<Vec<File>, Error> {
    let path = icons.join("slipway.svg");
    let source = fs::read_to_string(&path).map_err(|error| Error::Io { path, error })?;
    let mut files = Vec::new();
    for drawing in DRAWINGS {
        let tree = Tree::from_str(&with_parts(&source, &drawing)?, &Options::default())?;
        for &size in drawing.sizes {
            let path = drawing.path(size);
            let png = draw(&tree, size).ok_or_else(|| Error::Draw(path.display().to_string()))?;
            files.push(File { path, png });
        }
    }
    Ok(files)
}

/// Writes the files that differ, and returns their paths.
///
/// # Errors
/// [`Error::Io`] if the system refuses.
pub fn write(icons: &Path, files: &[File]) -> Result<Vec<PathBuf>, Error> {
    let mut written = Vec::new();
    for file in files {
        let path = icons.join(&file.path);
        if fs::read(&path).is_ok_and(|png| png == file.png) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::Io {
                path: folder.to_owned(),
                error,
            })?;
        }
        fs::write(&path, &file.png).map_err(|error| Error::Io {
            path: path.clone(),
            error,
        })?;
        written.push(file.path.clone());
    }
    Ok(written)
}

impl Drawing {
    fn path(&self, size: u32) -> PathBuf {
        let file = match self.name {
            Some(name) => format!("{name}-{size}.png"),
            None => format!("{size}.png"),
        };
        Path::new(self.folder).join(file)
    }
}

/// Returns the source with only the drawing's parts, in its ink.
fn with_parts(source: &str, drawing: &Drawing) -> Result<String, Error> {
    let mut svg = source.replace("currentColor", drawing.ink);
    if drawing.parts.contains(&"plate") {
        svg = svg.replace(
            "<g id=\"glyph\"",
            &format!("<g id=\"glyph\" transform=\"{ON_PLATE}\""),
        );
    }
    for part in PARTS {
        let id = format!("<g id=\"{part}\"");
        if !svg.contains(&id) {
            return Err(Error::NoPart(part));
        }
        if !drawing.parts.contains(&part) {
            svg = svg.replace(&id, &format!("{id} display=\"none\""));
        }
    }
    Ok(svg)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^24")]
fn draw(tree: &Tree, size: u32) -> Option<Vec<u8>> {
    let mut pixels = Pixmap::new(size, size)?;
    let scale = size as f32 / GRID;
    resvg::render(tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn icons() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn committed_icons_are_those_of_the_source() {
        for file in draw_all(&icons()).unwrap() {
            // Compares pixels, because the compression may differ.
            let committed = fs::read(icons().join(&file.path)).unwrap_or_default();
            assert!(
                Pixmap::decode_png(&committed).ok() == Pixmap::decode_png(&file.png).ok(),
                "{} is stale: run `cargo xtask icons`",
                file.path.display()
            );
        }
    }

    #[test]
    fn every_tray_ink_has_contrast_with_light_and_dark() {
        for drawing in DRAWINGS.iter().filter(|drawing| drawing.folder == "tray") {
            let ink = luminance(drawing.ink);
            // WCAG 2.1, 1.4.11: graphics need a contrast of 3.
            let on_white = 1.05 / (ink + 0.05);
            let on_black = (ink + 0.05) / 0.05;
            assert!(
                on_white >= 3.0 && on_black >= 3.0,
                "{:?}: {on_white}, {on_black}",
                drawing.name
            );
        }
    }

    #[test]
    fn no_two_states_differ_only_by_ink() {
        for (n, a) in DRAWINGS.iter().enumerate() {
            for b in &DRAWINGS[n + 1..] {
                assert_ne!(a.parts, b.parts, "{:?} and {:?}", a.name, b.name);
            }
        }
    }

    /// Relative luminance (WCAG 2.1) of a color like `#808080`.
    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }
}
