# Writes a year of made-up hourly bicycle rentals to standard output: the columns of SeoulBikeData.csv, the same bytes on
# every run.
#
#   awk -f tools/synthetic_bikes.awk > bikes.csv
#
# rentals = season * profile of the hour (two commuter peaks on working days, one long afternoon otherwise)
#           * comfort of the temperature * rain * a slow random walk around 1, + noise

# Uniform in [0, 1): the "minimal standard" generator (Park, Miller 1988), exact in doubles.
function uniform() { state = (state * 16807) % 2147483647; return state / 2147483647 }
function normal(   i, sum) { for (i = 0; i < 12; ++i) sum += uniform(); return sum - 6 }
function bump(x, centre, width) { return exp(-((x - centre) / width) ^ 2 / 2) }

BEGIN {
  state = 20171201
  pi = atan2(0, -1)
  split("31 28 31 30 31 30 31 31 30 31 30 31", days_in)
  split("Winter Winter Spring Spring Spring Summer Summer Summer Autumn Autumn Autumn Winter", season)
  # The public holidays of the year, as month-day.
  split("12-25 1-1 2-15 2-16 2-17 3-1 5-7 5-22 6-6 6-13 8-15 9-24 9-25 9-26 10-3 10-9", list)
  for (i in list) holiday[list[i]] = 1
  # Days without service.
  split("4-11 5-10 9-18 9-19 9-28 9-30 10-2 10-4 10-6 11-3 11-6 11-9", list)
  for (i in list) closed[list[i]] = 1

  print "Date,Rented Bike Count,Hour,Temperature,Humidity,Wind speed,Visibility,Dew point temperature," \
        "Solar Radiation,Rainfall,Snowfall,Seasons,Holiday,Functioning Day"
  day = 1; month = 12; year = 2017
  weekday = 4  # the first is a Friday; Monday is 0
  demand = 1
  for (number = 0; number < 365; ++number) {
    cloud_target = uniform()
    for (hour = 0; hour < 24; ++hour) {
      # Weather: a year's and a day's wave, slow disturbances, rain out of thick clouds.
      disturbance = 0.98 * disturbance + 0.6 * normal()
      cloud += 0.15 * (cloud_target - cloud) + 0.02 * normal()
      cloud = cloud < 0 ? 0 : cloud > 1 ? 1 : cloud
      temperature = 12.5 - 15.5 * cos(2 * pi * (number - 45) / 365) - 3.5 * cos(2 * pi * (hour - 3) / 24) + disturbance
      sun = sin(pi * (hour - 6) / 13); if (sun < 0 || hour < 6 || hour > 19) sun = 0
      sun *= (2 - 1.2 * cos(2 * pi * (number - 20) / 365)) * (1 - 0.8 * cloud)
      wet = cloud > 0.85 && uniform() < 0.35 ? 0.5 + 6 * uniform() ^ 3 : 0
      snow = snow * 0.9 + (temperature < 0 ? wet : 0); if (temperature > 1 || snow < 0.1) snow = 0
      rain = temperature < 0 ? 0 : wet
      humidity = 45 + 35 * cloud + 10 * cos(2 * pi * (hour - 5) / 24) + (wet > 0 ? 15 : 0)
      humidity = humidity > 98 ? 98 : humidity
      wind = 1.2 + 1.2 * bump(hour, 15, 4) + 0.4 * normal(); if (wind < 0) wind = 0
      visibility = 2000 - 1400 * cloud * uniform() - (wet > 0 ? 400 : 0)

      is_holiday = (month "-" day) in holiday
      open = !((month "-" day) in closed)
      if (weekday < 5 && !is_holiday)
        profile = 0.15 + 0.9 * bump(hour, 8, 1.2) + 1.3 * bump(hour, 18.3, 1.9) + 0.45 * bump(hour, 13, 3) + 0.4 * bump(hour, 22, 2)
      else
        profile = 0.2 + 0.95 * bump(hour, 15.5, 4) + 0.3 * bump(hour, 21.5, 2) + 0.2 * bump(hour, 0, 2)
      demand = 1 + 0.97 * (demand - 1) + 0.03 * normal()
      comfort = 0.12 + bump(temperature, 22, 11)
      rentals = 1450 * profile * comfort * demand * (rain > 0 ? 0.25 : 1) * (snow > 0 ? 0.6 : 1) * (1 - 0.15 * cloud) + 15 * normal()
      if (rentals < 2) rentals = 2
      if (!open) rentals = 0

      printf "%02d/%02d/%d,%d,%d,%.1f,%d,%.1f,%d,%.1f,%.2f,%.1f,%.1f,%s,%s,%s\n", day, month, year, rentals, hour,
        temperature, humidity, wind, visibility, temperature - (100 - humidity) / 5, sun, rain, snow, season[month],
        is_holiday ? "Holiday" : "No Holiday", open ? "Yes" : "No"
    }
    weekday = (weekday + 1) % 7
    if (++day > days_in[month]) { day = 1; if (++month > 12) { month = 1; ++year } }
  }
}
