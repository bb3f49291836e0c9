//! Java: `InetAddress` by glibc, and JNDI, which asks DNS itself.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::Instant;

use crate::program::{example, printed, program};
use crate::space::Space;
use crate::support::server::Home;
use crate::support::{soon, until};
use crate::world::{PORT_53, many, tell, two};

/// Prints, for each word `NAME/TYPE`, the sorted values that JNDI finds, or the class of its error; for any other word
/// the addresses that `InetAddress` finds.
const LOOKUP: &str = r#"
import java.net.InetAddress;
import java.util.*;
import javax.naming.*;
import javax.naming.directory.*;

class Lookup {
    public static void main(String[] words) throws Exception {
        Hashtable<String, String> settings = new Hashtable<>();
        settings.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.dns.DnsContextFactory");
        settings.put(Context.PROVIDER_URL, "dns://127.0.0.1:53");
        DirContext dns = new InitialDirContext(settings);
        for (String word : words) {
            List<String> found = new ArrayList<>();
            String[] parts = word.split("/");
            if (parts.length == 1) {
                for (InetAddress address : InetAddress.getAllByName(word)) found.add(address.getHostAddress());
            } else {
                try {
                    Attribute values = dns.getAttributes(parts[0], new String[] {parts[1]}).get(parts[1]);
                    for (int i = 0; values != null && i < values.size(); i++) found.add((String) values.get(i));
                } catch (NamingException error) {
                    found.add(error.getClass().getSimpleName());
                }
            }
            Collections.sort(found);
            System.out.println(String.join(", ", found));
        }
    }
}
"#;

/// Looks a name up whenever it reads a line, and prints how many addresses there are.
const AGAIN: &str = r#"
import java.net.InetAddress;
import java.util.Scanner;

class Again {
    public static void main(String[] words) throws Exception {
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            lines.nextLine();
            System.out.println(InetAddress.getAllByName(words[0]).length);
        }
    }
}
"#;

#[tokio::test]
async fn with_java_a_departed_instance_is_forgotten() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let server = Home::new().start(&PORT_53).await;
    many(&server, "app", 2).await;
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("Again.java"), AGAIN).unwrap();
    std::fs::write(path("java.security"), example("java.security")).unwrap();
    let settings = format!("-Djava.security.properties={}", path("java.security").display());
    let mut command = tokio::process::Command::from(program("java"));
    command.arg(settings).arg(path("Again.java")).arg("app.svc").kill_on_drop(true);
    let mut java = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut asks, says) = (java.stdin.take().unwrap(), java.stdout.take().unwrap());
    let mut lines = BufReader::new(says).lines();
    let mut look_up = async || {
        asks.write_all(b"\n").await.unwrap();
        soon("Java's reply", lines.next_line()).await.unwrap().expect("a reply")
    };
    assert_eq!(look_up().await, "2");
    let departed = Instant::now();
    assert_eq!(server.delete("/v1/apps/app/instances/i-2").await.status, 200);
    until("it is forgotten", async || look_up().await == "1").await;
    tell("Java: a departed instance is found for another", departed.elapsed());
}

#[tokio::test]
async fn with_java_services_and_hosts_are_found_and_errors_are_what_they_should_be() {
    let space = Space::enter();
    space.resolv_conf(&example("resolv.conf.direct"));
    let _server = two(&PORT_53).await;
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("Lookup.java");
    std::fs::write(&source, LOOKUP).unwrap();
    let words = [
        "_nova._tcp.app.svc/SRV",
        "i-2.app.svc/A",
        "i-2.app.svc/AAAA",
        "_nova._tcp.nope.svc/SRV",
        "www.example.net/A",
        "i-2.app",
    ];
    let arguments: Vec<_> = [source.to_str().unwrap()].into_iter().chain(words).collect();
    let said = printed("java", &arguments).await;
    let expected = [
        "10 100 8001 i-1.app.svc., 10 100 8002 i-2.app.svc.",
        "10.9.0.2",
        "",
        "NameNotFoundException",
        "OperationNotSupportedException",
        "10.9.0.2",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}
