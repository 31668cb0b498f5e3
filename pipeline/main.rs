use std::process::ExitCode;

/// A page view over HTTP makes dozens of small allocations on one thread and frees them on another, which glibc's malloc is
/// slow at: a fifth of the requests a second (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    callweave::cli::main()
}
