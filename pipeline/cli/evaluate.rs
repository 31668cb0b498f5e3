//! `callweave evaluate`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use crate::app::Failure;
use crate::evaluate::case::Case;
use crate::evaluate::show::Group;
use crate::evaluate::{plot, read, show};
use crate::files::outputs;

#[derive(Debug, Args)]
pub struct Evaluate {
    /// What `simulate --truth` wrote; several, each with its --input
    #[arg(long, value_name = "FILE", required = true)]
    truth: Vec<PathBuf>,
    /// The events that `simulate` wrote beside it
    #[arg(long, value_name = "FILE", required = true)]
    input: Vec<PathBuf>,
    /// Draws what was said against what is true
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What a plot may be meant to be, and is not.
const OTHER_PLOTS: [&str; 6] = ["gif", "jpeg", "jpg", "pdf", "png", "webp"];

impl Evaluate {
    pub fn run(self) -> Result<(), Failure> {
        if self.truth.len() != self.input.len() {
            return Err(Failure::Usage("each --truth needs the --input that was written with it".to_owned()));
        }
        let read_from = self.truth.iter().chain(&self.input).map(PathBuf::as_path);
        if let Some(plot) = &self.plot {
            outputs::apart(read_from, &[("--plot", Some(plot.as_path()))])
                .map_err(|clash| Failure::Usage(clash.to_string()))?;
            let is_of = |kind: &&str| plot.extension().is_some_and(|it| it.eq_ignore_ascii_case(kind));
            if OTHER_PLOTS.iter().any(is_of) {
                let problem = format!("--plot {}: the plot is an SVG: name a file that ends in .svg", plot.display());
                return Err(Failure::Usage(problem));
            }
        }
        let open = |path: &PathBuf| {
            let file = File::open(path).map_err(|error| Failure::said(format!("{}: {error}", path.display())))?;
            Ok::<_, Failure>(BufReader::new(file))
        };
        let mut all: Vec<(String, Vec<Case>)> = Vec::new();
        for (truth, input) in self.truth.iter().zip(&self.input) {
            let answers = read::answers(open(input)?).map_err(Failure::failed)?;
            let cases = read::cases(open(truth)?, answers).map_err(Failure::failed)?;
            let utilisation = cases.first().and_then(|case| case.truth.utilisation);
            let name = match utilisation {
                Some(share) => format!("utilisation {:.0} %", share * 100.0),
                None => truth.display().to_string(),
            };
            match all.iter_mut().find(|(held, _)| *held == name) {
                Some((_, held)) => held.extend(cases),
                None => all.push((name, cases)),
            }
        }
        let groups: Vec<Group<'_>> =
            all.iter().map(|(name, cases)| Group { name: name.clone(), cases: cases.iter().collect() }).collect();
        let everything: Vec<&Case> = all.iter().flat_map(|(_, cases)| cases).collect();
        let mut out = io::stdout().lock();
        let told = show::write_table(&groups, &mut out)
            .and_then(|()| writeln!(out))
            .and_then(|()| show::write_reliability(&everything, &mut out))
            .and_then(|()| writeln!(out))
            .and_then(|()| show::write_convergence(&everything, &mut out));
        match told {
            // Whoever reads has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            told => told.map_err(Failure::failed)?,
        }
        if let Some(path) = &self.plot {
            let failed = |error: io::Error| Failure::said(format!("{}: {error}", path.display()));
            let mut file = BufWriter::new(File::create(path).map_err(failed)?);
            plot::write(&groups, &mut file).and_then(|()| file.flush()).map_err(failed)?;
        }
        Ok(())
    }
}
