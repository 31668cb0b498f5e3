//! What a connection is told that nobody has logged in on.

use callweave_core::settings::{Login, Role};
use callweave_core::time::Time;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use super::*;
use crate::config::Account;
use crate::query::access::MaskKey;
use crate::query::session::QuerySession;
use crate::query::tries::WRONG_MAX;

type Failure = Box<dyn std::error::Error>;

/// Something is wrong with what takes longer.
const SOON: Duration = Duration::from_secs(30);

struct Place {
    _lake: TempDir,
    logins: Arc<Logins>,
    address: SocketAddr,
    _stop: DropGuard,
}

/// A server that has the login mona@acme.
async fn place() -> Result<Place, Failure> {
    let lake = TempDir::new()?;
    let mona = Login::new("mona", Role::Manager, Verifier::of("password of mona")?.to_string());
    let accounts = [Account { name: "acme".to_owned(), keys: Vec::new(), settings: None, logins: vec![mona] }];
    let session = QuerySession::open(&lake.path().to_string_lossy())?.with_postgres().await?;
    let logins = Arc::new(Logins::new(&accounts, None, || Time(0), session, MaskKey::new(b"key")));
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let (address, shutdown) = (socket.local_addr()?, CancellationToken::new());
    tokio::spawn(Postgres::new(Arc::clone(&logins), None).serve(socket, shutdown.clone()));
    Ok(Place { _lake: lake, logins, address, _stop: shutdown.drop_guard() })
}

fn lengthened(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let length = u32::try_from(body.len() + 4)?;
    Ok([&length.to_be_bytes()[..], body].concat())
}

fn message(kind: u8, body: &[u8]) -> Result<Vec<u8>, Failure> {
    Ok([&[kind][..], &lengthened(body)?[..]].concat())
}

/// A connection of mona, and the first word of a login by this method.
async fn begun(address: SocketAddr, method: &str) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let version = 196_608_u32.to_be_bytes();
    let startup = [&version[..], &b"user\0mona@acme\0database\0callweave\0\0"[..]].concat();
    let word = b"n,,n=,r=abcdefghijklmnop";
    let length = u32::try_from(word.len())?.to_be_bytes();
    let first = [method.as_bytes(), &b"\0"[..], &length[..], &word[..]].concat();
    stream.write_all(&[lengthened(&startup)?, message(b'p', &first)?].concat()).await?;
    Ok(stream)
}

/// Kinds and bodies of all messages until the server closes the connection.
async fn heard(stream: &mut TcpStream) -> Result<Vec<(u8, String)>, Failure> {
    let mut all = Vec::new();
    while let Ok(kind) = stream.read_u8().await {
        let length = usize::try_from(stream.read_u32().await?)?;
        let mut body = vec![0; length.saturating_sub(4)];
        stream.read_exact(&mut body).await?;
        all.push((kind, String::from_utf8_lossy(&body).into_owned()));
    }
    Ok(all)
}

#[tokio::test]
async fn who_may_not_try_a_password_is_answered_nothing() -> Result<(), Failure> {
    let place = place().await?;
    (0..WRONG_MAX).for_each(|_| place.logins.was_wrong("mona@acme"));
    let mut stream = begun(place.address, "SCRAM-SHA-256").await?;
    stream.write_all(&message(b'Q', b"select 1\0")?).await?;
    let heard = timeout(SOON, heard(&mut stream)).await??;
    assert!(heard.iter().all(|(kind, _)| b"REZ".contains(kind)), "a login, an error and no row: {heard:?}");
    let errors: Vec<&String> = heard.iter().filter(|(kind, _)| *kind == b'E').map(|(_, body)| body).collect();
    assert!(
        errors.iter().all(|error| error.contains("FATAL\0") && error.contains("C28000\0")) && !errors.is_empty(),
        "{errors:?}"
    );
    assert!(errors[0].contains("too many passwords"), "{errors:?}");
    Ok(())
}

#[tokio::test]
async fn strangers_of_one_address_leave_places_to_others() -> Result<(), Failure> {
    let place = place().await?;
    let mut strangers = Vec::new();
    for _ in 0..holder::STRANGERS_MAX {
        strangers.push(TcpStream::connect(place.address).await?);
    }
    let mut more = TcpStream::connect(place.address).await?;
    let told = timeout(SOON, heard(&mut more)).await??;
    assert!(
        matches!(&told[..], [(b'E', error)] if error.contains("C53300\0") && error.contains("of this address")),
        "{told:?}"
    );

    // Those whose login fails are shown out, though they keep their end open.
    for stranger in &mut strangers {
        let startup = [&196_608_u32.to_be_bytes()[..], &b"user\0mona@acme\0\0"[..]].concat();
        stranger.write_all(&[lengthened(&startup)?, message(b'p', b"NONE\0\0\0\0\0")?].concat()).await?;
    }
    let until_let_in = async {
        loop {
            let mut next = begun(place.address, "SCRAM-SHA-256").await?;
            if next.read_u8().await.is_ok_and(|kind| kind == b'R') {
                return Ok::<_, Failure>(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, until_let_in).await??;
    assert_eq!(strangers.len(), holder::STRANGERS_MAX);
    Ok(())
}

/// pgwire would gather a gigabyte of it.
#[tokio::test]
async fn nobody_is_heard_to_the_end_of_a_long_message() -> Result<(), Failure> {
    let place = place().await?;
    let mut stream = TcpStream::connect(place.address).await?;
    let startup = [&196_608_u32.to_be_bytes()[..], &b"user\0mona@acme\0\0"[..]].concat();
    let begun = [&lengthened(&startup)?[..], &b"Q"[..], &(1_u32 << 29).to_be_bytes()[..]].concat();
    stream.write_all(&begun).await?;
    let (mut hears, mut says) = stream.into_split();
    // Until the server hears no more of it.
    let saying = tokio::spawn(async move {
        let mut said = 0;
        while says.write_all(&[b'x'; 1 << 16]).await.is_ok() {
            said += 1 << 16;
        }
        said
    });
    let mut told = Vec::new();
    // What was sent behind it may have the connection reset.
    let _ = timeout(SOON, hears.read_to_end(&mut told)).await?;
    let said = timeout(SOON, saying).await??;
    assert!(said < 1 << 27, "{said} bytes were heard");
    let told = String::from_utf8_lossy(&told);
    assert!(told.is_empty() || told.contains("SCRAM-SHA-256") || told.contains("C54000"), "{told}");
    Ok(())
}
