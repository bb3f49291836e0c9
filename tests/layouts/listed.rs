//! What can't be read is listed, and hides nothing else however long its key is.

use crate::support::etcd::Etcd;
use crate::support::server::Home;
use crate::support::until;

#[tokio::test]
async fn very_long_keys_hide_nothing_behind_them() {
    let etcd = Etcd::start().await;
    let config = "[[layout]]\nkind = \"url\"\nprefix = \"/url/\"\n";
    // Longer than a request's head may be.
    let long = "k".repeat(100_000);
    for end in ["1", "2"] {
        etcd.put(&format!("/url/bad/{long}{end}"), "nonsense").await;
        etcd.put(&format!("/url/good/{long}{end}"), "http://10.0.0.1:80").await;
    }
    etcd.put("/url/last/x", "nonsense").await;
    let server = Home::with_config(config).start(&["--etcd", &etcd.url()]).await;
    until("all are listed", async || {
        server.get("/v1/rejected?limit=1000").await.body["rejected"].as_array().unwrap().len() == 5
    })
    .await;
    let (mut seen, mut path) = (Vec::new(), "/v1/rejected?limit=1".to_owned());
    loop {
        let page = server.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        seen.push(page.body["rejected"][0].clone());
        let Some(next) = page.body["continue"].as_str() else { break };
        path = format!("/v1/rejected?limit=1&continue={next}");
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    let ids = seen.iter().filter(|one| one["key"].as_str().unwrap().starts_with("/url/good/"));
    for one in ids {
        let reason = one["reason"].as_str().unwrap();
        assert!(reason.contains("at most 255 octets, got "), "{one}");
    }
    assert_eq!(seen[4]["key"], "/url/last/x");
    let listed = server.cli(&["ls", "--rejected"]).await.done();
    assert!(listed.contains("/url/last/x"), "{listed}");
    assert!(listed.lines().all(|line| line.len() < 3_000), "{}", listed.len());
}
