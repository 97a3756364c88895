/**
 * Every bound of a transport, by name. What happens at each bound stands beside it.
 */
export interface TransportLimits {
  /** Raw log bytes in one frame. A longer message is not sent; a longer frame closes its connection. */
  readonly payloadBytesMax: number
  /** The control part of one frame. A longer one closes its connection. */
  readonly controlBytesMax: number
  /** Bytes that wait for one peer on its data connection. Messages beyond are dropped. */
  readonly queuedDataBytesMax: number
  /** Bytes that wait for one peer on its control connection. Messages beyond are dropped. */
  readonly queuedControlBytesMax: number
  /** Accepted connections that have not said who they are. Further ones are closed at once. */
  readonly greetingConnectionsMax: number
  /** A connection that is not greeted after this long is closed. */
  readonly helloTimeoutMs: number
  /** A dial that takes longer is given up and tried again. */
  readonly connectTimeoutMs: number
  /** The wait before a new dial doubles from the first to the second, less a random half. */
  readonly reconnectMinMs: number
  readonly reconnectMaxMs: number
  /**
   * A peer that was asked something and has said nothing at all for this long gets new connections: the kernel's
   * own retransmissions back off to minutes, so an old connection would stay mute long after a partition has healed.
   */
  readonly silenceMs: number
  /**
   * A data connection on which nothing was answered for this long, though the peer speaks and nothing of what waits there has left, is
   * made anew; only its own packets may be getting lost. Twice as long after each time that did not help: an entry that takes longer
   * on a slow way gets through.
   */
  readonly dataSilenceMs: number
  readonly dataSilenceMsMax: number
  /** `close` lets queued bytes leave for this long. */
  readonly closeLingerMs: number
}

const MIB = 1024 * 1024

export const DEFAULT_TRANSPORT_LIMITS: TransportLimits = {
  payloadBytesMax: 64 * MIB,
  controlBytesMax: 16 * 1024,
  queuedDataBytesMax: 64 * MIB,
  queuedControlBytesMax: 4 * MIB,
  greetingConnectionsMax: 64,
  helloTimeoutMs: 5_000,
  connectTimeoutMs: 2_000,
  reconnectMinMs: 20,
  reconnectMaxMs: 1_000,
  silenceMs: 3_000,
  dataSilenceMs: 3_000,
  dataSilenceMsMax: 120_000,
  closeLingerMs: 200,
}
