//! Calls of a Secret Service.

use std::time::Duration;

use secrecy::zeroize::Zeroizing;

use crate::bus::{Bus, Call, Deadline, Writer};
use crate::error::SecretError;

/// Limit of the wait for a person who is asked to unlock the keyring.
pub(super) const PERSON_PATIENCE: Duration = Duration::from_secs(120);

/// Name and object of the service.
const NAME: &str = "org.freedesktop.secrets";
const SERVICE: &str = "/org/freedesktop/secrets";

// Interfaces of the specification.
const I_SERVICE: &str = "org.freedesktop.Secret.Service";
const I_COLLECTION: &str = "org.freedesktop.Secret.Collection";
const I_ITEM: &str = "org.freedesktop.Secret.Item";
const I_PROMPT: &str = "org.freedesktop.Secret.Prompt";
const I_PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Path that means "no object".
const NONE: &str = "/";

/// Whether the keyring may ask the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Person {
    Asked,
    LeftAlone,
}

/// A connection to the service, with a session for secrets.
pub(super) struct SecretService {
    bus: Bus,
    /// Path of the session.
    session: String,
}

fn call<'c>(path: &'c str, interface: &'c str, member: &'c str, signature: &'c str) -> Call<'c> {
    Call {
        destination: NAME,
        path,
        interface,
        member,
        signature,
    }
}

impl SecretService {
    pub(super) fn connect() -> Result<Self, SecretError> {
        let mut bus = Bus::connect()?;
        let mut body = Writer::default();
        body.text("plain");
        body.variant("s", |input| input.text(""));
        let answer = bus.call(&call(SERVICE, I_SERVICE, "OpenSession", "sv"), body)?;
        let session = answer.arguments("vo", |output| {
            // The algorithm `plain` answers an empty text.
            (output.signature()? == "s").then_some(())?;
            output.text()?;
            output.text().map(ToOwned::to_owned)
        })?;
        Ok(Self { bus, session })
    }

    /// Returns the items with these attributes, the unlocked ones first.
    pub(super) fn search(&mut self, attributes: &[(&str, &str)]) -> Result<Vec<String>, SecretError> {
        let mut body = Writer::default();
        body.texts(attributes);
        let answer = self
            .bus
            .call(&call(SERVICE, I_SERVICE, "SearchItems", "a{ss}"), body)?;
        let found = answer.arguments("aoao", |found| {
            let mut items = found.paths()?;
            items.extend(found.paths()?);
            Some(items)
        })?;
        Ok(found)
    }

    /// Unlocks an item or a collection.
    pub(super) fn unlock(&mut self, object: &str, person: Person) -> Result<(), SecretError> {
        let mut body = Writer::default();
        body.array(4, |objects| objects.text(object));
        let answer = self.bus.call(&call(SERVICE, I_SERVICE, "Unlock", "ao"), body)?;
        let (unlocked, prompt) = answer.arguments("aoo", |answer| {
            let unlocked = answer.paths()?;
            Some((!unlocked.is_empty(), answer.text()?.to_owned()))
        })?;
        if unlocked {
            return Ok(());
        }
        self.prompt(&prompt, person)
    }

    /// Stores a secret in the default collection, in place of one with the same attributes.
    pub(super) fn store(
        &mut self,
        label: &str,
        attributes: &[(&str, &str)],
        secret: &[u8],
        person: Person,
    ) -> Result<(), SecretError> {
        let mut body = Writer::default();
        body.text("default");
        let answer = self.bus.call(&call(SERVICE, I_SERVICE, "ReadAlias", "s"), body)?;
        let collection = answer.arguments("o", |answer| answer.text().map(ToOwned::to_owned))?;
        if collection == NONE {
            return Err(SecretError::Refused {
                detail: "it has no default keyring".to_owned(),
            });
        }
        self.unlock(&collection, person)?;
        let mut body = Writer::with_room(secret.len() + 4096);
        body.array(8, |properties| {
            properties.structure();
            properties.text(&format!("{I_ITEM}.Label"));
            properties.variant("s", |value| value.text(label));
            properties.structure();
            properties.text(&format!("{I_ITEM}.Attributes"));
            properties.variant("a{ss}", |value| value.texts(attributes));
        });
        body.structure();
        body.text(&self.session);
        // No parameters, because the algorithm is `plain`.
        body.bytes(&[]);
        body.bytes(secret);
        body.text("text/plain; charset=utf8");
        body.boolean(true);
        let create = call(&collection, I_COLLECTION, "CreateItem", "a{sv}(oayays)b");
        let answer = self.bus.call(&create, body)?;
        let (item, prompt) = answer.arguments("oo", |answer| {
            Some((answer.text()?.to_owned(), answer.text()?.to_owned()))
        })?;
        if item != NONE {
            return Ok(());
        }
        self.prompt(&prompt, person)
    }

    /// Returns the secret of an unlocked item.
    pub(super) fn secret(&mut self, item: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let mut body = Writer::default();
        body.text(&self.session);
        let answer = self.bus.call(&call(item, I_ITEM, "GetSecret", "o"), body)?;
        let secret = answer.arguments("(oayays)", |secret| {
            secret.structure()?;
            let (_session, _parameters) = (secret.text()?, secret.bytes()?);
            secret.bytes().map(|bytes| Zeroizing::new(bytes.to_vec()))
        })?;
        Ok(secret)
    }

    /// Returns the attributes of an item, also of a locked one.
    pub(super) fn attributes(&mut self, item: &str) -> Result<Vec<(String, String)>, SecretError> {
        let mut body = Writer::default();
        body.text(I_ITEM);
        body.text("Attributes");
        let answer = self.bus.call(&call(item, I_PROPERTIES, "Get", "ss"), body)?;
        let attributes = answer.arguments("v", |value| {
            (value.signature()? == "a{ss}").then_some(())?;
            value.texts()
        })?;
        Ok(attributes)
    }

    /// Deletes an unlocked item.
    pub(super) fn delete(&mut self, item: &str, person: Person) -> Result<(), SecretError> {
        let answer = self
            .bus
            .call(&call(item, I_ITEM, "Delete", ""), Writer::default())?;
        let prompt = answer.arguments("o", |answer| answer.text().map(ToOwned::to_owned))?;
        if prompt == NONE {
            return Ok(());
        }
        self.prompt(&prompt, person)
    }

    /// Lets the keyring ask the user, and waits for the answer.
    fn prompt(&mut self, prompt: &str, person: Person) -> Result<(), SecretError> {
        if prompt == NONE {
            return Err(SecretError::Locked);
        }
        if person == Person::LeftAlone {
            // A prompt that is not shown costs the service memory until it is dismissed. Its answer does not matter.
            let _ = self
                .bus
                .call(&call(prompt, I_PROMPT, "Dismiss", ""), Writer::default());
            return Err(SecretError::Locked);
        }
        let mut body = Writer::default();
        // No window to which the prompt belongs.
        body.text("");
        let deadline = Deadline::of(PERSON_PATIENCE);
        let show = call(prompt, I_PROMPT, "Prompt", "s");
        let completed = self.bus.call_until_signal(deadline, &show, body, "Completed")?;
        match completed.arguments("bv", |completed| completed.boolean())? {
            false => Ok(()),
            true => Err(SecretError::Locked),
        }
    }
}
