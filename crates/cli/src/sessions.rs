//! Running sessions, and the choice of one of them by name.

use slipway_control::{Client, LastWords, RuntimeFolder};
use slipway_control_api::{Problem, SessionId, SessionStatus};

use crate::failure::Failure;

/// Returns every session of this user, oldest first.
///
/// # Errors
///
/// When the runtime folder cannot be read.
pub(crate) async fn all() -> Result<Vec<SessionStatus>, Failure> {
    Ok(slipway_control::sessions(&RuntimeFolder::of_user()?).await?)
}

/// Connects to the session that `wanted` names.
///
/// # Errors
///
/// When no session or several sessions match, or the session does not answer.
pub(crate) async fn client(wanted: Option<&str>) -> Result<Client, Failure> {
    let folder = RuntimeFolder::of_user()?;
    let running = slipway_control::sessions(&folder).await?;
    let id = match pick(&running, wanted) {
        Ok(session) => session.id.clone(),
        // A session that hangs is not listed; its whole id still leads to its socket, and to the reason.
        Err(problem) => match wanted.and_then(|text| text.parse::<SessionId>().ok()) {
            Some(id) if folder.socket(&id).exists() => id,
            Some(_) | None => return Err(problem.into()),
        },
    };
    Ok(Client::connect(&folder, &id).await?)
}

/// Returns the session with this id or profile, or whose id or profile begins like this; without a name, the only
/// session.
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
            format!("No session has an id or profile that begins with `{wanted}`."),
            "`slipway status` shows the sessions.",
        )),
        _ => Err(which(
            &format!("Several sessions match `{wanted}`"),
            found.into_iter(),
        )),
    }
}

/// Returns the last status and log of a session that ended by itself: the one with this id or title; without a name,
/// the one that ended last.
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

/// The problem that no session runs.
pub(crate) fn nothing() -> Problem {
    Problem::new(
        "not-connected",
        "No session is connected.",
        "Connect with `slipway connect`.",
    )
}

fn which<'a>(cause: &str, sessions: impl Iterator<Item = &'a SessionStatus>) -> Problem {
    let ids: Vec<&str> = sessions.map(|session| session.id.as_str()).collect();
    Problem::new(
        "which-session",
        format!("{cause}: {}.", ids.join(", ")),
        "Add the id of one of them to the command.",
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
    fn a_whole_name_wins_over_the_beginning_of_another() {
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
