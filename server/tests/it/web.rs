//! The web app's files and the status page.
//!
//! Where in the flow: what a browser asks first.

use crate::fixture::{Server, folder};

async fn with_app() -> Server {
    let folder = folder();
    let web = folder.path().join("web");
    std::fs::create_dir_all(web.join("assets")).unwrap();
    std::fs::write(web.join("index.html"), "<title>app</title>").unwrap();
    std::fs::write(web.join("service-worker.js"), "// worker").unwrap();
    std::fs::write(web.join("assets/app-1a2b.js"), "// app").unwrap();
    std::fs::write(web.join("assets/app-1a2b.wasm"), b"\0asm").unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    Server::start_in(folder, |settings| settings.web = Some(web)).await
}

#[tokio::test]
async fn files_have_their_types_and_are_kept_as_long_as_they_may() {
    let server = with_app().await;
    for (path, kind, keep) in [
        ("/", "text/html", "no-cache"),
        ("/index.html", "text/html", "no-cache"),
        ("/service-worker.js", "text/javascript", "no-cache"),
        ("/assets/app-1a2b.js", "text/javascript", "immutable"),
        ("/assets/app-1a2b.wasm", "application/wasm", "immutable"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").starts_with(kind), "{path}: {}", answer.header("content-type"));
        assert!(answer.header("cache-control").contains(keep), "{path}: {}", answer.header("cache-control"));
        assert!(answer.header("content-security-policy").contains("'wasm-unsafe-eval'"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn an_address_of_the_app_gives_its_page_and_a_missing_file_does_not() {
    let server = with_app().await;
    let page = server.request("GET", "/books", &[("accept", "text/html,*/*")], b"").await;
    assert_eq!((page.status, page.text().as_str()), (200, "<title>app</title>"));
    assert_eq!(page.header("cache-control"), "no-cache");
    let page = server.request("GET", "/assets/missing.js", &[("accept", "text/html")], b"").await;
    page.expect_error(404, "not_found");
    server.get("/assets/").await.expect_error(404, "not_found");
    for path in ["/../secret", "/%2e%2e/secret", "/assets/../../secret", "/..%2fsecret"] {
        let answer = server.get(path).await;
        assert_ne!(answer.text(), "secret", "{path}");
        assert!(answer.status >= 400, "{path}: {}", answer.status);
    }
    server.request("POST", "/", &[], b"").await.expect_error(404, "not_found");
    assert_eq!(server.get("/notes/meta").await.status, 200, "routes go before files");
}

#[tokio::test]
async fn the_status_page_holds_no_data_and_runs_only_its_own_script() {
    let server = Server::start().await;
    server.get("/notes/meta").await;
    for (path, accept) in [("/", "*/*"), ("/status", "text/html")] {
        let page = server.request("GET", path, &[("accept", accept), ("x-forwarded-for", "10.0.0.1")], b"").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/html"));
        let policy = page.header("content-security-policy");
        assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert!(!page.text().contains("notes"), "no names");
    }
    let stranger = [("accept", "application/json"), ("x-forwarded-for", "10.0.0.1")];
    server.request("GET", "/status", &stranger, b"").await.expect_error(403, "development_only");
}
