//! Java: `InetAddress` by glibc, and JNDI, which asks DNS itself.

use tempfile::TempDir;

use crate::program::{example, printed};
use crate::space::Space;
use crate::world::{PORT_53, two};

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
