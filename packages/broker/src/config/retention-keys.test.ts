/** Apache's keys for what the log forgets. */
import { describe, expect, test } from 'vitest'
import { parseConfig } from './config.ts'
import { parseHours, retentionOptions } from './retention-keys.ts'

const environment = { homeDirectory: '/home/x', hostName: 'h', address: '10.0.0.1' }
const optionsOf = (input: Record<string, string>): unknown => retentionOptions(parseConfig(input, environment).config)

describe('what the log forgets', () => {
  test("is by default what Apache's broker forgets", () => {
    expect(optionsOf({})).toEqual({
      retentionMs: 72 * 3_600_000,
      retentionHours: [4],
      retentionEarlyDiskPercent: 75,
      retentionDiskPercent: 85,
      diskUsedPercentMax: 90,
      retentionBytes: null,
      retainForLaggingBytes: 4 * 2 ** 30,
    })
  })

  test('is as set, within the bounds that count there', () => {
    const input = {
      fileReservedTime: '48',
      deleteWhen: '04;16',
      diskMaxUsedSpaceRatio: '98',
      diskSpaceCleanForciblyRatio: '20',
      diskSpaceWarningLevelRatio: '95',
      retentionBytes: '1000',
    }
    expect(optionsOf(input)).toMatchObject({
      retentionMs: 48 * 3_600_000,
      retentionHours: [4, 16],
      retentionEarlyDiskPercent: 95,
      retentionDiskPercent: 30,
      diskUsedPercentMax: 95,
      retentionBytes: 1000,
    })
    expect(optionsOf({ cleanFileForciblyEnable: 'false' })).toMatchObject({ retentionDiskPercent: null })
  })

  test.each([
    ['4', [4]],
    ['04;16;', [4, 16]],
    [' 0 ; 23 ', [0, 23]],
    ['', undefined],
    ['24', undefined],
    ['4,16', undefined],
    ['four', undefined],
  ])('has %j for its hours: %j', (text, hours) => {
    expect(parseHours(text)).toEqual(hours)
    if (hours === undefined) {
      expect(() => parseConfig({ deleteWhen: text }, environment)).toThrow(/deleteWhen=.*allowed is hours from 0 to 23/)
    }
  })
})
