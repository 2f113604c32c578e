//! The sessions that run, and which of them is meant.

use slipway_control::{Client, LastWords, RuntimeFolder};
use slipway_control_api::{Problem, SessionId, SessionStatus};

use crate::failure::Failure;

/// Every session of this user, oldest first.
///
/// # Errors
///
/// When the runtime folder cannot be read.
pub(crate) async fn all() -> Result<Vec<SessionStatus>, Failure> {
    Ok(slipway_control::sessions(&RuntimeFolder::of_user()?).await?)
}

/// Connects to the one session that is meant.
///
/// # Errors
///
/// When it is not clear which one, or it does not answer.
pub(crate) async fn client(wanted: Option<&str>) -> Result<Client, Failure> {
    let folder = RuntimeFolder::of_user()?;
    let running = slipway_control::sessions(&folder).await?;
    let id = match pick(&running, wanted) {
        Ok(session) => session.id.clone(),
        // One that hangs is in no list; by its whole id it is reached, or says why not.
        Err(problem) => match wanted.and_then(|text| text.parse::<SessionId>().ok()) {
            Some(id) if folder.socket(&id).exists() => id,
            Some(_) | None => return Err(problem.into()),
        },
    };
    Ok(Client::connect(&folder, &id).await?)
}

/// The session that is meant by an id, a profile, or the beginning of one of them; by nothing, if there is only one.
///
/// # Errors
///
/// `not-connected`, `no-such-session` or `which-session`.
pub(crate) fn pick<'a>(
    running: &'a [SessionStatus],
    wanted: Option<&str>,
) -> Result<&'a SessionStatus, Problem> {
    let Some(wanted) = wanted else {
        return match running {
            [] => Err(nothing()),
            [only] => Ok(only),
            several => Err(which("Several sessions run", several.iter())),
        };
    };
    let exact = |session: &&SessionStatus| {
        session.id.as_str() == wanted || session.profile.as_deref() == Some(wanted)
    };
    let begins = |session: &&SessionStatus| {
        session.id.as_str().starts_with(wanted)
            || session
                .profile
                .as_deref()
                .is_some_and(|profile| profile.starts_with(wanted))
    };
    let mut found: Vec<&SessionStatus> = running.iter().filter(exact).collect();
    if found.is_empty() && !wanted.is_empty() {
        found = running.iter().filter(begins).collect();
    }
    match found[..] {
        [only] => Ok(only),
        [] => Err(Problem::new(
            "no-such-session",
            format!("No session is called `{wanted}`, nor does one begin like that."),
            "`slipway status` shows what runs.",
        )),
        _ => Err(which(
            &format!("`{wanted}` may be several sessions"),
            found.into_iter(),
        )),
    }
}

/// What the session that is meant said last, if it ended by itself: by its whole id or title; by nothing, the one that
/// ended last.
///
/// # Errors
///
/// When there is no runtime folder.
pub(crate) fn ended(wanted: Option<&str>) -> Result<Option<LastWords>, Failure> {
    let is_meant = |words: &LastWords| {
        wanted.is_none_or(|wanted| words.status.id.as_str() == wanted || words.status.title() == wanted)
    };
    let mut kept = RuntimeFolder::of_user()?.last_words();
    kept.retain(is_meant);
    Ok(kept.into_iter().next())
}

/// That nothing is connected.
pub(crate) fn nothing() -> Problem {
    Problem::new(
        "not-connected",
        "Nothing is connected.",
        "Connect with `slipway connect`.",
    )
}

fn which<'a>(cause: &str, sessions: impl Iterator<Item = &'a SessionStatus>) -> Problem {
    let ids: Vec<&str> = sessions.map(|session| session.id.as_str()).collect();
    Problem::new(
        "which-session",
        format!("{cause}: {}.", ids.join(", ")),
        "Name one of them.",
    )
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_profile::Method;

    use super::*;

    fn session(id: &str, profile: Option<&str>) -> SessionStatus {
        status_of_this_process(id.parse().unwrap(), profile.map(str::to_owned), Method::VpnTcp)
    }

    fn picked<'a>(running: &'a [SessionStatus], wanted: &str) -> Result<&'a str, String> {
        pick(running, Some(wanted))
            .map(|session| session.id.as_str())
            .map_err(|problem| problem.code)
    }

    #[test]
    fn one_session_needs_no_name() {
        let one = [session("shop-a1", None)];
        assert_eq!(pick(&one, None).unwrap().id.as_str(), "shop-a1");
        assert_eq!(pick(&[], None).unwrap_err().code, "not-connected");
        let two = [session("shop-a1", None), session("blog-b2", None)];
        let problem = pick(&two, None).unwrap_err();
        assert_eq!(problem.code, "which-session");
        assert!(problem.cause.contains("shop-a1, blog-b2"), "{problem}");
    }

    #[test]
    fn a_whole_name_goes_before_the_beginning_of_another() {
        let running = [
            session("shop-a1", Some("shop")),
            session("shop-test-b2", Some("shop-test")),
        ];
        assert_eq!(picked(&running, "shop"), Ok("shop-a1"));
        assert_eq!(picked(&running, "shop-t"), Ok("shop-test-b2"));
        assert_eq!(picked(&running, "shop-test-b2"), Ok("shop-test-b2"));
        assert_eq!(picked(&running, "sho"), Err("which-session".into()));
        assert_eq!(picked(&running, "x"), Err("no-such-session".into()));
        assert_eq!(picked(&running, ""), Err("no-such-session".into()));
    }
}
