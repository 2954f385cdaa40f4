//! The signature of a webhook.

use alerts::sign::{SignatureError, sign, verify};

use crate::at;

#[test]
fn a_signature_holds_for_its_body_its_secret_and_five_minutes() {
    let (secret, body) = (b"a secret".as_slice(), br#"{"event_name":"new_issue"}"#.as_slice());
    let header = sign(secret, at(0), body);
    // Computed with Python: hmac.new(b"a secret", b'1767323045.{"event_name":"new_issue"}', "sha256").
    insta::assert_snapshot!(header, @"t=1767323045,v1=4221e33443cb776b253ffaaaf2eb75a384e38203afeb2f0a5f3adc76bf106a86");
    let check = |secret: &[u8], header: &str, body: &[u8], seconds: u64, expected: Result<(), SignatureError>| {
        assert_eq!(verify(secret, header, body, at(seconds)), expected, "{header}");
    };
    check(secret, &header, body, 300, Ok(()));
    check(secret, &header, body, 301, Err(SignatureError::Time));
    check(b"another", &header, body, 0, Err(SignatureError::Other));
    check(secret, &header, b"{}", 0, Err(SignatureError::Other));
    check(secret, &header.replace("t=17", "t=18"), body, 0, Err(SignatureError::Other));
    // While a secret is changed there are two.
    let both = format!("{},v1={}", sign(b"old", at(0), body), header.split("v1=").nth(1).expect("a signature"));
    check(secret, &both, body, 0, Ok(()));
    for broken in ["", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=zz", &format!("t=1,v1={}", "é".repeat(32))] {
        check(secret, broken, body, 0, Err(SignatureError::Form));
    }
}
