//! Tasks of one carrier: reading, writing, and watching for silence.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::{CarrierEnd, Shared, now};
use crate::carrier::{CarrierId, Life};
use crate::frame::{Frame, HEAD};

/// Interval at which a carrier's silence is judged.
const TICK: Duration = Duration::from_millis(500);

pub(super) async fn read_frames<R: AsyncRead + Unpin>(
    shared: &Shared,
    id: CarrierId,
    mut reader: R,
) -> CarrierEnd {
    let mut block = shared.core.blocks.take();
    let mut frames = Vec::new();
    let mut events = Vec::new();
    loop {
        match reader.read(block.room()).await {
            Ok(0) => return CarrierEnd::Closed,
            Ok(read) => block.fill(read),
            Err(error) => return error.into(),
        }
        if !Frame::is_decided(block.filled()) {
            continue;
        }
        let mut bytes = std::mem::replace(&mut block, shared.core.blocks.take()).into_bytes();
        let decoded = loop {
            match Frame::decode(&mut bytes) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // The beginning of a frame moves to the next block, where its rest will follow.
        block.append(&bytes);
        drop(bytes);
        {
            let now = now();
            let mut core = shared.core();
            for frame in frames.drain(..) {
                if core.receive(id, frame, now, &mut events).is_err() {
                    return CarrierEnd::Breach;
                }
            }
        }
        events.drain(..).for_each(|event| shared.dispatch(event));
        if let Err(error) = decoded {
            return error.into();
        }
    }
}

pub(super) async fn write_frames<W: AsyncWrite + Unpin>(
    shared: &Shared,
    id: CarrierId,
    mut writer: W,
    wake: &Notify,
) -> CarrierEnd {
    let mut frames = Vec::new();
    let mut heads = BytesMut::new();
    let mut ends = Vec::new();
    loop {
        if shared.core().next_batch(id, now(), &mut frames) == 0 {
            wake.notified().await;
            // Let other tasks add frames to the batch: every hop passes on each write separately.
            tokio::task::yield_now().await;
            continue;
        }
        encode_heads(&frames, &mut heads, &mut ends);
        if let Err(error) = write_batch(&mut writer, &frames, &heads, &ends).await {
            return error.into();
        }
        frames.clear();
        heads.clear();
        ends.clear();
    }
}

async fn write_batch<W: AsyncWrite + Unpin>(
    writer: &mut W,
    frames: &[Frame],
    heads: &[u8],
    ends: &[usize],
) -> io::Result<()> {
    let mut slices = Vec::with_capacity(frames.len() * 2);
    let mut start = 0;
    let mut run = 0;
    for (frame, &end) in frames.iter().zip(ends) {
        // Heads without a payload between them are contiguous and form one slice.
        if let Some(payload) = frame.payload() {
            slices.push(IoSlice::new(&heads[run..end]));
            slices.push(IoSlice::new(payload));
            run = end;
        }
        start = end;
    }
    if start > run {
        slices.push(IoSlice::new(&heads[run..start]));
    }
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let written = writer.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    writer.flush().await
}

pub(super) async fn judge_silence(shared: &Shared, id: CarrierId) -> CarrierEnd {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let now = now();
        shared.core.blocks.trim(now);
        let life = shared.core().tick(id, now);
        match life {
            Life::Alive | Life::Ask => shared.count_carriers(),
            Life::Dead => return CarrierEnd::Silent,
        }
    }
}

/// Writes the heads of frames one after another, and records where each ends.
fn encode_heads(frames: &[Frame], heads: &mut BytesMut, ends: &mut Vec<usize>) {
    heads.reserve(frames.len() * (HEAD + 24));
    for frame in frames {
        frame.encode_head(heads);
        ends.push(heads.len());
    }
}
