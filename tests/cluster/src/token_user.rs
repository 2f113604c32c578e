//! Users of the cluster who log in with a token.

use crate::{Desk, LaptopFile};

/// A service account with the developer's permissions, and a Secret that its tokens end with. Removed when this is
/// dropped.
pub struct TokenUser<'a> {
    desk: &'a Desk<'a>,
    name: &'static str,
}

impl<'a> TokenUser<'a> {
    /// Creates the account; `name` distinguishes it from those of other tests.
    pub fn new(desk: &'a Desk<'a>, name: &'static str) -> Self {
        desk.apply(&format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: shop}}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {name}, namespace: shop}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: developer}}\n\
             subjects: [{{kind: ServiceAccount, name: {name}, namespace: shop}}]\n"
        ));
        Self { desk, name }
    }

    /// Creates a token that works until the next call of [`TokenUser::end_tokens`].
    pub fn token(&self) -> String {
        self.desk.apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {}, namespace: shop}}\n",
            self.name
        ));
        let create = ["--namespace", "shop", "create", "token", self.name];
        let bound = ["--bound-object-kind", "Secret", "--bound-object-name", self.name];
        self.desk
            .kubectl(&[&create[..], &bound].concat())
            .trim()
            .to_owned()
    }

    /// Ends all tokens. The API server notices it within the 10 s for which it remembers an accepted token.
    pub fn end_tokens(&self) {
        self.delete("secret");
    }

    /// Writes a kubeconfig of this user, who logs in as `user` says.
    pub fn kubeconfig(&self, user: serde_json::Value) -> LaptopFile<'a> {
        LaptopFile::kubeconfig(self.desk, |config| config["users"][0]["user"] = user)
    }

    fn delete(&self, kind: &str) {
        let delete = [
            "--namespace",
            "shop",
            "delete",
            "--ignore-not-found",
            kind,
            self.name,
        ];
        drop(self.desk.bed.kubectl(delete).output());
    }
}

impl Drop for TokenUser<'_> {
    fn drop(&mut self) {
        for kind in ["secret", "rolebinding", "serviceaccount"] {
            self.delete(kind);
        }
    }
}
