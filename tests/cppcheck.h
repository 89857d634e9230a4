/* cppcheck.h - what the static analysis must know of jansson, whose headers it does not read. */
#define json_array_foreach(array, i, value) for ((i) = 0; ((value) = json_array_get(array, i)) != NULL; (i)++)
#define json_object_foreach(object, key, value)                                                                        \
	for ((key) = first_of(object); ((value) = json_object_get(object, key)) != NULL; (key) = next_of(object, key))
