use std::process::ExitCode;

fn main() -> ExitCode {
    callweave::cli::main()
}
