use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hermod_types::webhook::SigningSecret;

/// What `webhook-signature` says: a signature with each secret, in their order.
///
/// `timestamp` counts the seconds since the Unix epoch. Receivers refuse one that is more than some minutes old, so each attempt has
/// its own.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a SigningSecret>,
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> String {
    let head = format!("{id}.{timestamp}.");
    let signature = |secret: &SigningSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.key());
        let mut context = hmac::Context::with_key(&key);
        context.update(head.as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    secrets.into_iter().map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_vector_of_the_specification_is_met() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        assert_eq!(sign([&secret], ID, 1_614_265_330, BODY), SIGNATURE);
    }

    #[test]
    fn during_a_rotation_there_are_two_and_the_new_is_first() {
        let (new, old) = (SigningSecret::random(), SigningSecret::parse(SECRET).unwrap());
        let both = sign([&new, &old], ID, 1_614_265_330, BODY);
        let signatures: Vec<_> = both.split(' ').collect();
        assert_eq!(signatures, [sign([&new], ID, 1_614_265_330, BODY).as_str(), SIGNATURE]);
        assert_ne!(signatures[0], SIGNATURE);
    }
}
