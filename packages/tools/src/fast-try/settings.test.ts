/** What `fast-try.sh` reads from its environment. */
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { settingsFrom } from './settings.ts'

test('a directory is the same one from wherever the next call comes', () => {
  expect(settingsFrom({ FAST_TRY_DIR: 'tries' }).directory).toBe(resolve('tries'))
  expect(settingsFrom({ FAST_TRY_CONF: 'extra.conf' }).extraConf).toBe(resolve('extra.conf'))
})

test.each([
  { name: 'FAST_TRY_NAMESRV_PORT', value: '0x10' },
  { name: 'FAST_TRY_NAMESRV_PORT', value: '0' },
  { name: 'FAST_TRY_BROKER_PORTS', value: '31911,31921' },
  { name: 'FAST_TRY_RAFT_PORTS', value: '41911,41912,70000' },
  { name: 'FAST_TRY_METRICS_PORTS', value: '15557,,15559' },
])('$name=$value is refused', ({ name, value }) => {
  expect(() => settingsFrom({ [name]: value })).toThrow(`${name}=${value}: allowed`)
})

test.each([
  { FAST_TRY_BROKER_PORTS: '31911,31911,31931' },
  // Each broker listens two ports below its own, too.
  { FAST_TRY_BROKER_PORTS: '31911,31913,31931' },
  { FAST_TRY_NAMESRV_PORT: '5557' },
  { FAST_TRY_RAFT_PORTS: '30909,40912,40913' },
])('a port that two would have is refused: %o', (environment) => {
  expect(() => settingsFrom(environment)).toThrow('is used twice')
})
