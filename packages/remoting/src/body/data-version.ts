/** Which state of a table something is: the state version of the leader first, then a counter and the time of the change. */
import type { DialectValue } from './dialect.ts'
import { asObject, numberOr, parseObject } from './reader.ts'

export interface DataVersion {
  counter: number
  /** Grows with each new leader: a registration with a smaller one loses against a live one. */
  stateVersion: number
  timestamp: number
}

export function readDataVersion(value: DialectValue | undefined): DataVersion {
  const object = asObject(value, 'dataVersion')
  return {
    counter: numberOr(object['counter'], 0, 'counter'),
    stateVersion: numberOr(object['stateVersion'], 0, 'stateVersion'),
    timestamp: numberOr(object['timestamp'], 0, 'timestamp'),
  }
}

/** The body of QUERY_DATA_VERSION and of its answer. @throws RemotingError `BAD_BODY`. */
export function decodeDataVersion(body: Buffer): DataVersion {
  return readDataVersion(parseObject(body, 'a data version'))
}

export function dataVersionText(version: DataVersion): string {
  return `{"counter":${version.counter},"stateVersion":${version.stateVersion},"timestamp":${version.timestamp}}`
}

export function equalDataVersions(a: DataVersion, b: DataVersion): boolean {
  return a.counter === b.counter && a.stateVersion === b.stateVersion && a.timestamp === b.timestamp
}
