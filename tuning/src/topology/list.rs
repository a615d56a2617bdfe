//! The two ways Linux writes sets of CPUs: lists (`0-3,8`) and masks
//! (`00000000,0000010f`).

use std::collections::BTreeSet;

use crate::root::Unread;

/// The highest number a CPU may have here. Linux itself is built for at most
/// 8,192; a list that names more is not a list of CPUs.
pub const CPU_MAX: u32 = 8191;

/// Reads a list such as `0-3,8,10-11`. The empty text is the empty set.
///
/// # Errors
/// [`Unread::Malformed`] for anything else, for a range that runs backwards
/// and for a CPU above [`CPU_MAX`].
///
/// ```
/// use wirebahn_tuning::topology::parse_list;
///
/// assert_eq!(parse_list("0-2,8\n").unwrap(), [0, 1, 2, 8].into());
/// assert!(parse_list("3-1").is_err());
/// ```
pub fn parse_list(text: &str) -> Result<BTreeSet<u32>, Unread> {
    let malformed = || {
        let head: String = text.trim().chars().take(60).collect();
        Unread::Malformed(format!("{head:?} is not a list of CPUs"))
    };
    let cpu = |word: &str| -> Result<u32, Unread> {
        word.parse()
            .ok()
            .filter(|&cpu| cpu <= CPU_MAX)
            .ok_or_else(malformed)
    };
    let mut cpus = BTreeSet::new();
    let text_trimmed = text.trim();
    // The kernel writes an empty memory-node list as "(null)" on some releases.
    if text_trimmed.is_empty() || text_trimmed == "(null)" {
        return Ok(cpus);
    }
    for part in text_trimmed.split(',') {
        match part.split_once('-') {
            None => {
                cpus.insert(cpu(part)?);
            }
            Some((first, last)) => {
                let (first, last) = (cpu(first)?, cpu(last)?);
                if first > last {
                    return Err(malformed());
                }
                cpus.extend(first..=last);
            }
        }
    }
    Ok(cpus)
}

/// Writes a set as the kernel would: `0-3,8`.
pub fn format_list<'a>(cpus: impl IntoIterator<Item = &'a u32>) -> String {
    let mut sorted: Vec<u32> = cpus.into_iter().copied().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match (run.first(), run.last()) {
            (Some(first), Some(last)) if first != last => format!("{first}-{last}"),
            (Some(only), _) => only.to_string(),
            (None, _) => String::new(),
        })
        .collect::<Vec<_>>()
        .join(",")
}

/// Reads a mask: groups of up to eight hexadecimal digits, the highest CPUs
/// first, commas between.
///
/// # Errors
/// [`Unread::Malformed`] for anything else.
pub fn parse_mask(text: &str) -> Result<BTreeSet<u32>, Unread> {
    let malformed = || {
        let head: String = text.trim().chars().take(60).collect();
        Unread::Malformed(format!("{head:?} is not a mask of CPUs"))
    };
    let groups: Vec<&str> = text.trim().split(',').collect();
    if groups.len() > (CPU_MAX as usize + 1) / 32 {
        return Err(malformed());
    }
    let mut cpus = BTreeSet::new();
    for (group_index, group) in (0u32..).zip(groups.iter().rev()) {
        if group.is_empty() || group.len() > 8 {
            return Err(malformed());
        }
        let bits = u32::from_str_radix(group, 16).map_err(|_| malformed())?;
        cpus.extend(
            (0..32)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| group_index * 32 + bit),
        );
    }
    Ok(cpus)
}

/// Writes a mask as `rps_cpus` and `xps_cpus` want it: no leading zero groups,
/// `0` for the empty set.
pub fn format_mask<'a>(cpus: impl IntoIterator<Item = &'a u32>) -> String {
    let mut groups: Vec<u32> = vec![0];
    for &cpu in cpus {
        let index = (cpu / 32) as usize;
        if index >= groups.len() {
            groups.resize(index + 1, 0);
        }
        if let Some(group) = groups.get_mut(index) {
            *group |= 1 << (cpu % 32);
        }
    }
    let mut rest = groups.iter().rev();
    let mut text = rest
        .next()
        .map(|top| format!("{top:x}"))
        .unwrap_or_default();
    for group in rest {
        text.push_str(&format!(",{group:08x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    #[test]
    fn lists_of_real_machines() {
        let cases: [(&str, &[u32]); 5] = [
            ("", &[]),
            ("\n", &[]),
            ("0\n", &[0]),
            ("0-1\n", &[0, 1]),
            ("1,3,5-7\n", &[1, 3, 5, 6, 7]),
        ];
        for (text, cpus) in cases {
            assert_eq!(
                parse_list(text).unwrap(),
                cpus.iter().copied().collect(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["a", "1-", "-1", "1,,2", "2-1", "0-99999999", "1 2", "8192"] {
            assert!(parse_list(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn masks_of_real_machines() {
        assert_eq!(parse_mask("f\n").unwrap(), (0..4).collect());
        assert_eq!(
            parse_mask("00000001,00000000,80000000").unwrap(),
            [31, 64].into()
        );
        assert_eq!(format_mask(&[31, 64]), "1,00000000,80000000");
        assert_eq!(format_mask(&[]), "0");
        for text in ["", "g", "123456789", "1,,2"] {
            assert!(parse_mask(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(cpus in btree_set(0..=CPU_MAX, 0..200)) {
            prop_assert_eq!(parse_list(&format_list(&cpus)).unwrap(), cpus.clone());
            prop_assert_eq!(parse_mask(&format_mask(&cpus)).unwrap(), cpus);
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "[0-9a-f,\\- \n]{0,40}") {
            let _ = parse_list(&text);
            let _ = parse_mask(&text);
        }
    }
}
