/** Values that a namesrv takes, and what it says of those that it does not take. */
import { expect, test } from 'vitest'
import { parseNamesrvConfig } from './namesrv-config.ts'

test.each([
  { key: 'listenPort', value: '', allowed: 'a whole number from 0 to 65535' },
  { key: 'listenPort', value: 'abc', allowed: 'a whole number from 0 to 65535' },
  { key: 'listenPort', value: '0x10', allowed: 'a whole number from 0 to 65535' },
  { key: 'metricsPromExporterPort', value: '70000', allowed: 'a whole number from 0 to 65535' },
  { key: 'scanNotActiveBrokerInterval', value: '5', allowed: 'a whole number from 100 to 3600000 ms' },
  { key: 'orderMessageEnable', value: 'perhaps', allowed: 'true or false' },
  { key: 'tls.server.mode', value: 'sometimes', allowed: 'disabled, permissive, enforcing' },
  { key: 'bindAddress', value: '', allowed: 'an address or a host name' },
])('$key=$value is refused, and the line says what is allowed', ({ key, value, allowed }) => {
  expect(() => parseNamesrvConfig({ [key]: value })).toThrow(`${key}=${value}: allowed is ${allowed}`)
})

test('values are read as those of a broker are', () => {
  const { config } = parseNamesrvConfig({ listenPort: ' 9877 ', orderMessageEnable: 'TRUE' })
  expect(config).toMatchObject({ listenPort: 9877, orderMessageEnable: true, scanNotActiveBrokerInterval: 10_000 })
})
