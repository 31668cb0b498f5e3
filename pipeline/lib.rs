pub mod import;
pub mod line;
pub mod simulate;
