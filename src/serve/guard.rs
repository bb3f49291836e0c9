//! What the zones say to the API about a registration before it is written.

use crate::api;
use crate::model::{AppName, Label, Namespace};
use crate::zone::{Guard, Refusal};

impl api::Guard for Guard {
    fn serves(&self, namespace: &Namespace) -> bool {
        self.serves(namespace)
    }

    fn taken(&self, namespace: &Namespace, app: &AppName, id: &Label) -> Option<String> {
        self.check(namespace, app, id).err().map(|refusal: Refusal| refusal.to_string())
    }
}
