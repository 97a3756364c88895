export { assert, AssertionError, unreachable } from './assert.ts'
export { background } from './background.ts'
export {
  readInt16,
  readInt32,
  readInt64,
  readInt8,
  readUint32,
  writeInt16,
  writeInt32,
  writeInt64,
  writeUint32,
} from './bytes.ts'
export { type Clock, localHourOf, systemClock } from './clock.ts'
export { CodedError } from './coded-error.ts'
export { crc32 } from './crc32.ts'
export { type Logger, silentLogger } from './logger.ts'
export { makeDirectories, makeDirectoriesSync } from './make-directories.ts'
export { nearestName } from './nearest-name.ts'
export { connectPassing, createPassingServer, onBytes } from './passing-reads.ts'
export { keyedHash, type Random, seededRandom, systemRandom } from './random.ts'
