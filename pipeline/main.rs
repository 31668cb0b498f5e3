use std::process::ExitCode;

/// A page view over HTTP makes dozens of small allocations on one thread and frees them on another, which glibc's malloc is
/// slow at: a fifth of the requests a second (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let main = std::thread::Builder::new().name("main".to_owned()).stack_size(callweave::app::STACK_BYTES);
    match main.spawn(callweave::cli::main).map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // It has told why it panicked.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(_) => callweave::cli::main(),
    }
}
