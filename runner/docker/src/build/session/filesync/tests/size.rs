//! Many files and big ones take no more memory than few and small ones.

use futures_util::stream::StreamExt as _;

use super::ledger::Ledger;
use super::*;

#[test]
fn a_hundred_thousand_entries_weigh_a_few_megabytes() {
    let mut ledger = Ledger::default();
    let mut files = Vec::new();
    for folder in 0..1_000 {
        ledger
            .push(&format!("folder-{folder}"), None, None)
            .unwrap();
        ledger
            .push(&format!("folder-{folder}/sub"), None, None)
            .unwrap();
        for file in 0..98 {
            let path = format!("folder-{folder}/sub/file-{file}.json");
            ledger.push(&path, Some(file), None).unwrap();
            files.push((folder * 100 + 2 + u32::try_from(file).unwrap(), path, file));
        }
    }
    assert!(ledger.weight() < 5 << 20, "{} bytes", ledger.weight());
    for (number, path, size) in files {
        assert_eq!(ledger.path(number), Some(path));
        assert_eq!(ledger.take(number), Some(size));
        // Once is enough.
        assert_eq!(ledger.take(number), None);
    }
    assert_eq!((ledger.take(0), ledger.take(100_000)), (None, None));
}

/// Of this process, the most so far.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn a_file_of_four_gigabytes_goes_through() {
    const SIZE: u64 = 4 << 30;
    let folder = folder(&[]);
    let file = fs::File::create(folder.path().join("sparse")).unwrap();
    file.set_len(SIZE).unwrap();
    let service = serve(folder.path(), "");
    // Without the messages' way to and fro, which takes most of the time.
    let asked = Asked::default();
    let dir = service.dirs["context"].clone();
    let transfer = Transfer::new(dir, asked, Failure::default(), service.sent(), None);
    let request = Packet {
        r#type: PacketType::PacketReq.into(),
        ..Packet::default()
    };
    let (ask, asked) = mpsc::unbounded_channel();
    let mut answers = transfer.start(UnboundedReceiverStream::new(asked));
    // Nothing can be asked for before it was told of.
    let told = answers.next().await.unwrap().unwrap();
    assert_eq!(told.stat.unwrap().path, "sparse");
    ask.send(Ok(request)).unwrap();
    let before = peak();
    let mut seen = 0;
    while seen < SIZE {
        let packet = answers.next().await.unwrap().unwrap();
        seen += u64::try_from(packet.data.len()).unwrap();
    }
    assert_eq!(seen, SIZE);
    // Other tests run beside this one; had the file been kept, it would be more than ten times that.
    let grown = peak() - before;
    assert!(grown < 256 << 20, "{grown} bytes");
}
